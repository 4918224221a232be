# assets.cmake: Swagger UI and ReDoc, for the binary: packages of the npm registry (etc/npm.cmake),
# compressed, for embedded.S. ReDoc's one file holds the packages it was made of, so the lock names none
# of them.
#
# Needs the registry when a build tree is configured. Without it the server still builds, and /docs and
# /redoc are plain lists; the next configuration tries again.
set(COLMEIA_DOCS AUTO CACHE STRING
    "Swagger UI and ReDoc in the binary: AUTO (a warning if they cannot be fetched), ON (an error) or OFF")
set_property(CACHE COLMEIA_DOCS PROPERTY STRINGS AUTO ON OFF)
set(DOCS_SOURCE ${CMAKE_SOURCE_DIR}/worker/api/assets)
set(DOCS_BUILD ${CMAKE_BINARY_DIR}/assets)
set(DOCS_FILES swagger_ui_css swagger_ui_js oauth2_redirect_js redoc_js)
set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${DOCS_SOURCE}/package-lock.json)

# Why it is not possible, or "".
function(docs_fetch why_r)
    foreach(package swagger-ui-dist redoc)
        npm_package(${DOCS_SOURCE} ${DOCS_BUILD} ${package} why)
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
