#if defined(__x86_64__)
#include "kernels.inl"
#else
#include "kernels.hpp"
#endif

namespace wavewright {
const Kernels* avx512_kernels() {
#if defined(__x86_64__)
    static constexpr Kernels kernels = table("avx512");
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512vl"))
        return &kernels;
#endif
    return nullptr;
}
}  // namespace wavewright
