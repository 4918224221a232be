/* master.h: the running server: opens what all share, keeps the workers alive as the supervisor
 * decides, until it decides to leave. Called by main.c, once per process. */
#pragma once

#include "master/supervisor.h"
#include "shared/config.h"

struct master_options {
    const struct config_flags *flags; /* borrowed: where a reload reads again */
    struct config *config;            /* borrowed: the first configuration */
    struct config_text text;          /* what it was read from; taken */
    struct sup_settings settings;     /* for it */
    struct sup_settings (*settings_of)(const struct config *config); /* for later ones */
    bool watch_files;                 /* reload by itself when they change */
};

/* The supervisor's settings for this configuration. Tests shorten the constants among them. */
struct sup_settings master_settings(const struct config *config);

/* Runs to the end and returns an enum exit_code. Blocks its signals meanwhile. The log is
 * initialised by the caller; everything said here goes there. */
int master_run(const struct master_options *options);
