# BECKON_SANITIZE=address,undefined | thread. No recovery: a finding fails the test that made it.
if(BECKON_SANITIZE)
    add_compile_options(-fsanitize=${BECKON_SANITIZE} -fno-sanitize-recover=all
        -fno-omit-frame-pointer)
    add_link_options(-fsanitize=${BECKON_SANITIZE})
endif()
if(BECKON_FUZZ)
    # Instruments all code; the fuzz targets add the driver.
    add_compile_options(-fsanitize=fuzzer-no-link)
    add_link_options(-fsanitize=fuzzer-no-link)
endif()
