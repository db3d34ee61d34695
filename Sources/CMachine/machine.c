// Compiled for the baseline machine, unlike everything else: it must run where the rest can't.
// A constructor, because Swift's own entry point may already hold AVX instructions.
#include "CMachine.h"
#include <stdlib.h>
#include <unistd.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif

const int cmachine_linked = 1;
const char *const cmachine_build = QTOOL_BUILD;

#if defined(__x86_64__)
static const char message[] =
    "qtool: this processor lacks AVX2, FMA or F16C (x86-64-v3)\n"
    "hint: use a machine from 2013 (Intel Haswell) or 2015 (AMD Excavator) or later\n";

__attribute__((constructor)) static void check_machine(void) {
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("f16c")) return;
  ssize_t ignored = write(2, message, sizeof message - 1);
  (void)ignored;
  _exit(69);
}
#endif

void cmachine_give_back(void) {
#ifdef __GLIBC__
  malloc_trim(0);
#endif
}
