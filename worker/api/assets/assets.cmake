# assets.cmake: Swagger UI and ReDoc, for the binary: fetched from the npm registry in the versions that
# package-lock.json pins, checked against the sha512 there, and compressed, for embedded.S. npm itself
# is not needed (with all it depends on it is hundreds of Debian packages). ReDoc's one file holds the
# packages it was made of, so the lock names none of them.
#
# Needs the registry when a build tree is configured. Without it the server still builds, and /docs and
# /redoc are plain lists; the next configuration tries again.
set(COLMEIA_DOCS AUTO CACHE STRING
    "Swagger UI and ReDoc in the binary: AUTO (a warning if they cannot be fetched), ON (an error) or OFF")
set_property(CACHE COLMEIA_DOCS PROPERTY STRINGS AUTO ON OFF)
set(COLMEIA_NPM_REGISTRY "https://registry.npmjs.org" CACHE STRING "Where Swagger UI and ReDoc are fetched")
set(DOCS_SOURCE ${CMAKE_SOURCE_DIR}/worker/api/assets)
set(DOCS_BUILD ${CMAKE_BINARY_DIR}/assets)
get_filename_component(DOCS_FETCHED ${CMAKE_BINARY_DIR}/../fetched ABSOLUTE) # for all build trees beside it
set(DOCS_FILES swagger_ui_css swagger_ui_js oauth2_redirect_js redoc_js)
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${DOCS_SOURCE}/package-lock.json)

# The sha512 of a lock, which is base64, as cmake writes it.
function(docs_checksum integrity hash_r)
    string(REGEX REPLACE "^sha512-" "" base64 "${integrity}")
    file(WRITE ${DOCS_BUILD}/integrity "${base64}")
    execute_process(COMMAND base64 -d ${DOCS_BUILD}/integrity COMMAND od -An -v -tx1
        OUTPUT_VARIABLE hex COMMAND_ERROR_IS_FATAL ANY)
    string(REGEX REPLACE "[^0-9a-f]" "" hex "${hex}")
    set(${hash_r} ${hex} PARENT_SCOPE)
endfunction()

# The archive of a package, unless another build tree has it already. Why it is not possible, or "".
function(docs_download url wanted archive why_r)
    set(${why_r} "" PARENT_SCOPE)
    if(EXISTS ${archive})
        file(SHA512 ${archive} got)
        if(got STREQUAL wanted)
            return()
        endif()
    endif()
    message(STATUS "Fetching ${url}")
    file(DOWNLOAD ${url} ${archive}.part STATUS status TIMEOUT 120 INACTIVITY_TIMEOUT 30 TLS_VERIFY ON)
    list(GET status 0 code)
    if(NOT code EQUAL 0)
        list(GET status 1 words)
        file(REMOVE ${archive}.part)
        set(${why_r} "cannot fetch ${url}: ${words}" PARENT_SCOPE)
        return()
    endif()
    file(SHA512 ${archive}.part got)
    if(NOT got STREQUAL wanted)
        file(REMOVE ${archive}.part)
        set(${why_r} "${url} has another sha512 than package-lock.json" PARENT_SCOPE)
        return()
    endif()
    file(RENAME ${archive}.part ${archive})
endfunction()

# One package to ${DOCS_BUILD}/node_modules. Why it is not possible, or "".
function(docs_fetch_one package why_r)
    file(READ ${DOCS_SOURCE}/package-lock.json lock)
    string(JSON url GET "${lock}" packages node_modules/${package} resolved)
    string(JSON integrity GET "${lock}" packages node_modules/${package} integrity)
    string(REPLACE "https://registry.npmjs.org" "${COLMEIA_NPM_REGISTRY}" url "${url}")
    get_filename_component(name ${url} NAME)
    docs_checksum(${integrity} wanted)
    docs_download(${url} ${wanted} ${DOCS_FETCHED}/${name} why)
    set(${why_r} "${why}" PARENT_SCOPE)
    if(why)
        return()
    endif()
    set(place ${DOCS_BUILD}/node_modules/${package})
    file(REMOVE_RECURSE ${place} ${place}.new)
    file(ARCHIVE_EXTRACT INPUT ${DOCS_FETCHED}/${name} DESTINATION ${place}.new)
    file(RENAME ${place}.new/package ${place})
    file(REMOVE_RECURSE ${place}.new)
endfunction()

# Why it is not possible, or "".
function(docs_fetch why_r)
    foreach(package swagger-ui-dist redoc)
        docs_fetch_one(${package} why)
        set(${why_r} "${why}" PARENT_SCOPE)
        if(why)
            return()
        endif()
    endforeach()
endfunction()

# One file of a package as ${DOCS_BUILD}/NAME.gz.
function(docs_pack name file)
    execute_process(COMMAND gzip -9nc ${file} OUTPUT_FILE ${DOCS_BUILD}/${name}.gz
        COMMAND_ERROR_IS_FATAL ANY)
endfunction()

# ReDoc shows its makers' logo from their own host; no page of ours asks another host for anything, and
# without a picture ReDoc shows none.
function(docs_pack_redoc)
    set(logo "https://cdn.redoc.ly/redoc/logo-mini.svg")
    file(READ ${DOCS_BUILD}/node_modules/redoc/bundles/redoc.standalone.js text)
    string(FIND "${text}" "${logo}" at)
    if(at EQUAL -1)
        message(FATAL_ERROR "this ReDoc does not load ${logo}: see worker/api/assets/assets.cmake")
    endif()
    string(REPLACE "${logo}" "data:," text "${text}")
    file(WRITE ${DOCS_BUILD}/redoc.js "${text}")
    docs_pack(redoc_js ${DOCS_BUILD}/redoc.js)
endfunction()

function(docs_make)
    set(swagger ${DOCS_BUILD}/node_modules/swagger-ui-dist)
    docs_pack(swagger_ui_css ${swagger}/swagger-ui.css)
    docs_pack(swagger_ui_js ${swagger}/swagger-ui-bundle.js)
    docs_pack(oauth2_redirect_js ${swagger}/oauth2-redirect.js)
    docs_pack_redoc()
    docs_recipe(recipe)
    file(WRITE ${DOCS_BUILD}/made "${recipe}")
endfunction()

# What the files are made of and how.
function(docs_recipe recipe_r)
    file(SHA256 ${DOCS_SOURCE}/package-lock.json lock)
    file(SHA256 ${DOCS_SOURCE}/assets.cmake how)
    set(${recipe_r} "${lock} ${how}" PARENT_SCOPE)
endfunction()

# What was made just so is not made again.
function(docs_is_made result_r)
    set(${result_r} FALSE PARENT_SCOPE)
    if(EXISTS ${DOCS_BUILD}/made)
        file(READ ${DOCS_BUILD}/made made)
        docs_recipe(recipe)
        if(made STREQUAL recipe)
            set(${result_r} TRUE PARENT_SCOPE)
        endif()
    endif()
endfunction()

function(docs_version package version_r)
    file(READ ${DOCS_SOURCE}/package-lock.json lock)
    string(JSON version GET "${lock}" packages node_modules/${package} version)
    set(${version_r} ${version} PARENT_SCOPE)
endfunction()

# What comes with a binary that holds them.
function(docs_install_licences folder)
    get_property(built GLOBAL PROPERTY DOCS_BUILT_IN)
    if(built)
        set(modules ${DOCS_BUILD}/node_modules)
        install(FILES ${modules}/swagger-ui-dist/LICENSE ${modules}/swagger-ui-dist/NOTICE
            ${modules}/swagger-ui-dist/swagger-ui-bundle.js.LICENSE.txt DESTINATION ${folder}/swagger-ui)
        install(FILES ${modules}/redoc/LICENSE ${modules}/redoc/bundles/redoc.standalone.js.LICENSE.txt
            DESTINATION ${folder}/redoc)
    endif()
endfunction()

set(docs_why "COLMEIA_DOCS is OFF")
if(COLMEIA_DOCS)
    set(docs_why "")
    docs_is_made(docs_made)
    if(NOT docs_made)
        docs_fetch(docs_why)
        if(NOT docs_why)
            docs_make()
        elseif(NOT COLMEIA_DOCS STREQUAL "AUTO")
            message(FATAL_ERROR "no Swagger UI and ReDoc: ${docs_why}")
        else()
            message(WARNING "/docs and /redoc will be plain lists without Swagger UI and ReDoc: ${docs_why}\n"
                "See that this machine reaches the npm registry, then configure again.")
        endif()
    endif()
endif()

if(docs_why)
    message(STATUS "Documentation pages: plain (${docs_why})")
    add_library(worker_assets STATIC ${DOCS_SOURCE}/none.c)
else()
    docs_version(swagger-ui-dist swagger_ui_version)
    docs_version(redoc redoc_version)
    set_property(GLOBAL PROPERTY DOCS_BUILT_IN TRUE)
    message(STATUS "Documentation pages: Swagger UI ${swagger_ui_version}, ReDoc ${redoc_version}")
    add_library(worker_assets STATIC ${DOCS_SOURCE}/embedded.c ${DOCS_SOURCE}/embedded.S)
    target_compile_definitions(worker_assets PRIVATE
        SWAGGER_UI_VERSION="${swagger_ui_version}" REDOC_VERSION="${redoc_version}")
    list(TRANSFORM DOCS_FILES PREPEND ${DOCS_BUILD}/ OUTPUT_VARIABLE docs_packed)
    list(TRANSFORM docs_packed APPEND .gz)
    set_source_files_properties(${DOCS_SOURCE}/embedded.S PROPERTIES OBJECT_DEPENDS "${docs_packed}"
        COMPILE_OPTIONS "-Wa,-I${DOCS_BUILD}")
endif()
target_link_libraries(worker_assets PUBLIC shared colmeia_options)
