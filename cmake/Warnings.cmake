# The warnings every Beckon source is compiled with. Fatal in presets dev, asan, tsan (BECKON_WERROR).
add_compile_options(
    -Wall -Wextra -Wconversion -Wno-sign-conversion -Wshadow -Wstrict-prototypes
    -Wmissing-prototypes -Wvla -Wformat=2 -Wundef -Wcast-align -Wimplicit-fallthrough
    -Wpointer-arith -Wwrite-strings)
if(BECKON_WERROR)
    add_compile_options(-Werror)
endif()
