#define WAVEWRIGHT_SCALAR
#include "kernels.inl"

namespace wavewright {
const Kernels* scalar_kernels() {
    static constexpr Kernels kernels = table("scalar");
    return &kernels;
}
}  // namespace wavewright
