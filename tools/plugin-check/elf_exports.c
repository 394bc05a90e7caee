/* elf_exports - see the header. Reads the section .dynsym (elf(5)) of a mapped file; every offset
 * is checked, because the file may be anything. */
#include "elf_exports.h"

#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

struct image {
    const uint8_t *data;
    size_t size;
};

static const void *at(const struct image *image, uint64_t offset, uint64_t size)
{
    return offset <= image->size && size <= image->size - offset ? image->data + offset : NULL;
}

static bool ours(const char *name, const char *allowed)
{
    /* what compilers add for sanitizers and coverage */
    static const char *const prefixes[] = {"__asan", "___asan", "__ubsan", "__odr_asan",
                                           "__tsan", "__gcov",  "__llvm",  "__sanc"};

    if (strcmp(name, allowed) == 0)
        return true;
    for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++) {
        if (strncmp(name, prefixes[i], strlen(prefixes[i])) == 0)
            return true;
    }
    return false;
}

static int scan(const struct image *image, const ElfW(Shdr) * symbols, const ElfW(Shdr) * strings,
                const char *allowed, char *ret_other, size_t size)
{
    size_t count = symbols->sh_size / sizeof(ElfW(Sym));
    const ElfW(Sym) *symbol = at(image, symbols->sh_offset, symbols->sh_size);
    const char *text = at(image, strings->sh_offset, strings->sh_size);

    if (!symbol || !text || strings->sh_size == 0 || text[strings->sh_size - 1] != '\0')
        return -1;
    for (size_t i = 0; i < count; i++, symbol++) {
        unsigned bind = ELF64_ST_BIND(symbol->st_info);

        if (symbol->st_shndx == SHN_UNDEF || symbol->st_name >= strings->sh_size ||
            (bind != STB_GLOBAL && bind != STB_WEAK) ||
            ELF64_ST_VISIBILITY(symbol->st_other) != STV_DEFAULT)
            continue;
        if (!ours(text + symbol->st_name, allowed)) {
            snprintf(ret_other, size, "%s", text + symbol->st_name);
            return 0;
        }
    }
    ret_other[0] = '\0';
    return 0;
}

static int look(const struct image *image, const char *allowed, char *ret_other, size_t size)
{
    const ElfW(Ehdr) *header = at(image, 0, sizeof(*header));
    const ElfW(Shdr) * sections;

    if (!header || memcmp(header->e_ident, ELFMAG, SELFMAG) != 0 ||
        header->e_shentsize != sizeof(*sections))
        return -1;
    sections = at(image, header->e_shoff, (uint64_t)header->e_shnum * sizeof(*sections));
    for (size_t i = 0; sections && i < header->e_shnum; i++) {
        if (sections[i].sh_type == SHT_DYNSYM && sections[i].sh_link < header->e_shnum)
            return scan(image, &sections[i], &sections[sections[i].sh_link], allowed, ret_other,
                        size);
    }
    return -1;
}

int elf_exports_other(const char *path, const char *allowed, char *ret_other, size_t size)
{
    struct image image = {0};
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC), r = -1;

    if (fd < 0)
        return -1;
    if (fstat(fd, &st) == 0 && st.st_size > 0) {
        image.size = (size_t)st.st_size;
        image.data = mmap(NULL, image.size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (image.data != MAP_FAILED) {
            r = look(&image, allowed, ret_other, size);
            munmap((void *)image.data, image.size);
        }
    }
    close(fd);
    return r;
}
