// What the layers of a network share while they compute.
#pragma once

#include <vector>

#include "buffer.hpp"
#include "kernels.hpp"
#include "team.hpp"
#include "vectors.hpp"

namespace wavewright {

class Runtime {
public:
    Runtime(const Kernels& kernels, Team& team, int streams)
        : kernels(kernels), team(team), streams(streams), scratch_(team.size()) {}

    const Kernels& kernels;
    Team& team;
    const int streams;

    // The vectors, one for each stream, of the streams that this thread computes.
    VectorsView own(int thread, const VectorsView& all) const {
        const auto [first, last] = team.streams(thread, all.count);
        return all.slice(first, last - first);
    }

    // Makes room in every thread for the int8 form of `vectors` of `size`. Layers call it while they are built.
    void reserve(int vectors, int size);
    // The thread's own vectors in the form that the matrix is multiplied with, which in int8 lies in the thread's own
    // scratch memory.
    Operand operand(int thread, const MatrixView& matrix, const VectorsView& all) const;

private:
    struct Scratch {
        Buffer<std::uint8_t> codes;
        Buffer<float> scales;
        Buffer<std::int32_t> starts;
    };
    std::vector<Scratch> scratch_;  // of each thread
};

}  // namespace wavewright
