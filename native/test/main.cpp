// One executable for all C++ tests: `node native/build.mjs --test [--test-case=NAME]`.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include "doctest/doctest.h"
