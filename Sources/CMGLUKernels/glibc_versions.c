// glibc 2.35 gave hypot and hypotf new versions, which differ in errno alone. Swift's libraries, linked in, ask
// for them, and are all that keeps a program of this package from running with glibc 2.34, so these take
// their place and call the versions before.
#if defined(__linux__)
#include <features.h>
#endif
#if defined(__linux__) && defined(__GLIBC__) && (defined(__x86_64__) || defined(__aarch64__))
#if defined(__x86_64__)
#define OLD "GLIBC_2.2.5"
#else
#define OLD "GLIBC_2.17"
#endif

double mglu_old_hypot(double x, double y);
float mglu_old_hypotf(float x, float y);
__asm__(".symver mglu_old_hypot, hypot@" OLD);
__asm__(".symver mglu_old_hypotf, hypotf@" OLD);

__attribute__((visibility("hidden"))) double hypot(double x, double y) { return mglu_old_hypot(x, y); }
__attribute__((visibility("hidden"))) float hypotf(float x, float y) { return mglu_old_hypotf(x, y); }
#endif
