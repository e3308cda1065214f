#include "elementwise.hpp"

namespace wavewright {

void relu(const Runtime& runtime, int thread, const VectorsView& x, const VectorsView& y) {
    const auto [first, last] = runtime.team.share(thread, y.blocks());
    for (int i = 0; i < y.count; i++)
        runtime.kernels.relu(y[i] + first * kBlock, x[i] + first * kBlock, (last - first) * kBlock);
}

void add(const Runtime& runtime, int thread, const VectorsView& x, const VectorsView& y) {
    const auto [first, last] = runtime.team.share(thread, y.blocks());
    for (int i = 0; i < y.count; i++)
        runtime.kernels.add(y[i] + first * kBlock, x[i] + first * kBlock, (last - first) * kBlock);
}

void gate(const Runtime& runtime, int thread, const VectorsView& sums, const VectorsView& z) {
    const auto [first, last] = runtime.team.share(thread, sums.blocks());
    for (int i = 0; i < sums.count; i++)
        for (int block = first; block < last; block++)
            runtime.kernels.gate(sums[i] + block * kBlock, z[i] + block * (kBlock / 2));
}

}  // namespace wavewright
