/* master.h: the running server: opens what all share, keeps the workers alive as the supervisor
 * decides, until it decides to leave. Called by main.c, once per process. */
#pragma once

#include "master/supervisor.h"
#include "shared/config.h"

struct state;

struct master_options {
    const struct config_flags *flags; /* borrowed: where a reload reads again */
    struct config *config;            /* borrowed: the first configuration */
    struct config_text text;          /* what it was read from; taken */
    struct sup_settings settings;     /* for it */
    struct sup_settings (*settings_of)(const struct config *config); /* for later ones */
    bool watch_files;                 /* reload by itself when they change */
    int argc;                         /* the whole command line, for a program that takes over; */
    char **argv;                      /* 0: none can. Borrowed */
    const struct state *state;        /* take over from another program, which left this; or NULL */
    const char *way_back;             /* with state: we are back, and this became of the other */
};

/* The supervisor's settings for this configuration. Tests shorten the constants among them. */
struct sup_settings master_settings(const struct config *config);

/* Runs to the end and returns an enum exit_code. Blocks its signals meanwhile. The log is
 * initialised by the caller; everything said here goes there. If it cannot take over, the program
 * before comes back and this does not return (upgrade.h). */
int master_run(const struct master_options *options);
