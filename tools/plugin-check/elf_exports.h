/* elf_exports - the symbols that a shared object offers to others. */
#ifndef BECKON_PLUGIN_CHECK_ELF_EXPORTS_H
#define BECKON_PLUGIN_CHECK_ELF_EXPORTS_H

#include <stddef.h>

/* Writes the name of the first exported symbol that is not `allowed` (nor a sanitizer's) into
 * ret_other, "" when there is none. 0, or -1 when the file is no ELF object of this machine. */
int elf_exports_other(const char *path, const char *allowed, char *ret_other, size_t size);

#endif
