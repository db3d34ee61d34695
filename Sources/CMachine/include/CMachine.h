// Links a start-up check into an executable: see machine.c.
#ifndef CMACHINE_H
#define CMACHINE_H
extern const int cmachine_linked;
#endif
