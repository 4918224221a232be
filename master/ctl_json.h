/* ctl_json.h: members of the server's answers, for ctl_print.c and top_facts.c. What is missing (a
 * server of another version) is no error. */
#pragma once

#include <jansson.h>

/* "-" when it is no text. */
static inline const char *text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "-";
}

/* *none* when it is no number. */
static inline long long number_of(const json_t *object, const char *key, long long none)
{
    const json_t *n = json_object_get(object, key);
    return json_is_integer(n) ? (long long)json_integer_value(n) : none;
}
