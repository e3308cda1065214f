// What the engine's test programs share.
#pragma once

#include <cstdio>
#include <string>

inline int failures = 0;

inline void check(bool good, const std::string& what) {
    if (good) return;
    failures++;
    std::printf("FAILED: %s\n", what.c_str());
}

// Prints how the checks went, and returns the program's exit status.
inline int summary() {
    std::printf(failures ? "%d checks failed\n" : "all checks passed\n", failures);
    return failures != 0;
}
