/* master.h: the running server: opens what all share, keeps the workers alive as the supervisor
 * decides, until it decides to leave. Called by main.c, once per process. */
#pragma once

#include "master/supervisor.h"
#include "shared/config.h"

/* The supervisor's settings for this configuration. Tests shorten the constants among them. */
struct sup_settings master_settings(const struct config *config);

/* Runs to the end and returns an enum exit_code. Blocks its signals meanwhile. The log is
 * initialised by the caller; everything said here goes there. */
int master_run(const struct config *config, const struct sup_settings *settings);
