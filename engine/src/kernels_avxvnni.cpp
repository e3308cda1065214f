#if defined(__AVXVNNI__)
#include "kernels.inl"
#else
#include "kernels.hpp"
#endif

namespace wavewright {
const Kernels* avxvnni_kernels() {
#if defined(__AVXVNNI__)
    static constexpr Kernels kernels = table("avxvnni");
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("avxvnni"))
        return &kernels;
#endif
    return nullptr;
}
}  // namespace wavewright
