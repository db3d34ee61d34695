// Links a start-up check into an executable: see machine.c.
#ifndef CMACHINE_H
#define CMACHINE_H
extern const int cmachine_linked;
/// The commit that was built, or "development".
extern const char *const cmachine_build;
#endif
