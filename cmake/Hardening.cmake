# Hardening after the OpenSSF compiler guide, except -Wl,-z,nodlopen: plugins are loaded with dlopen.
if(CMAKE_BUILD_TYPE STREQUAL "Release")
    add_compile_options(-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3 -fstack-protector-strong
        -fstack-clash-protection -fno-delete-null-pointer-checks -fno-strict-overflow)
    add_link_options(-Wl,-z,relro -Wl,-z,now -Wl,-z,noexecstack)
endif()
