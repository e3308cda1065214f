#include "elementwise.hpp"

namespace wavewright {

void relu(const Runtime& runtime, int thread, const VectorsView& all_x, const VectorsView& all_y) {
    const VectorsView x = runtime.own(thread, all_x), y = runtime.own(thread, all_y);
    const auto [first, last] = runtime.team.rows(thread, y.blocks());
    for (int i = 0; i < y.count; i++)
        runtime.kernels.relu(y[i] + first * kBlock, x[i] + first * kBlock, (last - first) * kBlock);
}

void add(const Runtime& runtime, int thread, const VectorsView& all_x, const VectorsView& all_y) {
    const VectorsView x = runtime.own(thread, all_x), y = runtime.own(thread, all_y);
    const auto [first, last] = runtime.team.rows(thread, y.blocks());
    for (int i = 0; i < y.count; i++)
        runtime.kernels.add(y[i] + first * kBlock, x[i % x.count] + first * kBlock, (last - first) * kBlock);
}

void gate(const Runtime& runtime, int thread, const VectorsView& all_sums, const VectorsView& all_z) {
    const VectorsView sums = runtime.own(thread, all_sums), z = runtime.own(thread, all_z);
    const auto [first, last] = runtime.team.rows(thread, sums.blocks());
    for (int i = 0; i < sums.count; i++)
        for (int block = first; block < last; block++)
            runtime.kernels.gate(sums[i] + block * kBlock, z[i] + block * (kBlock / 2));
}

void gelu(const Runtime& runtime, int thread, const VectorsView& all_x) {
    const VectorsView x = runtime.own(thread, all_x);
    const auto [first, last] = runtime.team.rows(thread, x.blocks());
    for (int i = 0; i < x.count; i++) runtime.kernels.gelu(x[i] + first * kBlock, (last - first) * kBlock);
}

void glu(const Runtime& runtime, int thread, const VectorsView& all_sums, const VectorsView& all_x) {
    const VectorsView sums = runtime.own(thread, all_sums), x = runtime.own(thread, all_x);
    const auto [first, last] = runtime.team.rows(thread, sums.blocks());
    for (int i = 0; i < sums.count; i++)
        for (int block = first; block < last; block++)
            runtime.kernels.glu(sums[i] + block * kBlock, x[i] + block * (kBlock / 2));
}

void normalise(const Runtime& runtime, int thread, const VectorsView& all_x, int size, const VectorsView& all_y) {
    const VectorsView x = runtime.own(thread, all_x), y = runtime.own(thread, all_y);
    for (int i = 0; i < x.count; i++) runtime.kernels.normalise(x[i], size, static_cast<int>(x.stride), y[i]);
}

}  // namespace wavewright
