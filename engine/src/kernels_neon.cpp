#if defined(__ARM_NEON)
#include "kernels.inl"
#else
#include "kernels.hpp"
#endif

namespace wavewright {
const Kernels* neon_kernels() {
#if defined(__ARM_NEON)
    static constexpr Kernels kernels = table("neon");
    return &kernels;
#else
    return nullptr;
#endif
}
}  // namespace wavewright
