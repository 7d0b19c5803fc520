// SPDX-License-Identifier: MIT
/* To link musl.c with: the names that it uses of musl's libc.so, which is the loader itself. */
void __libc_start_main(void);
void dlsym(void);
void puts(void);
void strcmp(void);

#define EXPORT __attribute__((visibility("default")))
EXPORT void __libc_start_main(void)
{
}
EXPORT void dlsym(void)
{
}
EXPORT void puts(void)
{
}
EXPORT void strcmp(void)
{
}
