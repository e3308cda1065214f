#if !defined(__wasm_simd128__)
#define WAVEWRIGHT_SCALAR
#endif
#include "kernels.inl"

namespace wavewright {
const Kernels* scalar_kernels() {
    static constexpr Kernels kernels = table("scalar");
    return &kernels;
}
}  // namespace wavewright
