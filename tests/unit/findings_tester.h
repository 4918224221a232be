/* findings_tester.h: what a judge of doctor has just said, for its tests. */
#pragma once

#include "shared/findings.h"

/* One finding: its level, and a word of its text and remedy. Frees *f. */
void assert_said(struct findings *f, enum finding_level level, const char *word);
