#if defined(__x86_64__)
#include "kernels.inl"
#else
#include "kernels.hpp"
#endif

namespace wavewright {
const Kernels* avx2_kernels() {
#if defined(__x86_64__)
    static constexpr Kernels kernels = table("avx2");
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return &kernels;
#endif
    return nullptr;
}
}  // namespace wavewright
