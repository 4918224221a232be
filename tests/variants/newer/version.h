/* version.h: what the programs of this folder say they are. */
#pragma once

#define COLMEIA_VERSION "9.9.9"
