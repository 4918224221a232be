/* record.h: the audit log's lines about those who command the master. Called by control.c, commands.c
 * and master.c. */
#pragma once

#include "master/command.h"
#include "shared/audit.h"

struct signal_report;

/* Somebody has come to the control socket, and may not. */
void record_stranger(struct control_caller caller);
/* A command was obeyed, or refused; those that only ask are not recorded. */
void record_command(const struct control_call *call, enum audit_outcome outcome);
/* A signal that asks for something. */
void record_signal(const struct signal_report *report);
