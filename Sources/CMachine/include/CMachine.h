// Requirements of an executable: a start-up check that linking this brings along (see machine.c), and memory.
#ifndef CMACHINE_H
#define CMACHINE_H
extern const int cmachine_linked;
/// The commit that was built, or "development".
extern const char *const cmachine_build;
/// Hands memory that is free within the process back to the system, where the allocator would keep it: worth it between
/// stages that each use most of a budget.
void cmachine_give_back(void);
#endif
