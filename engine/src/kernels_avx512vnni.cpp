#if defined(__x86_64__)
#include "kernels.inl"
#else
#include "kernels.hpp"
#endif

namespace wavewright {
const Kernels* avx512vnni_kernels() {
#if defined(__x86_64__)
    static constexpr Kernels kernels = table("avx512vnni");
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
        __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512vnni"))
        return &kernels;
#endif
    return nullptr;
}
}  // namespace wavewright
