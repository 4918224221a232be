/* embedded.c: the list that embedded.S compiled in, as common.h declares it. */
#include "worker/validate/common.h"

extern const char common_passwords[], common_passwords_end[];

const struct common_list common_list = {common_passwords, common_passwords_end};
