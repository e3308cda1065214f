// What the layers of a network share while they compute.
#pragma once

#include <algorithm>
#include <vector>

#include "buffer.hpp"
#include "kernels.hpp"
#include "team.hpp"
#include "vectors.hpp"

namespace wavewright {

// Consecutive samples that are computed at once. Those whose codes are known can be several. The vectors of a layer then
// are (samples, streams).
struct Stretch {
    std::uint64_t clock;  // how many samples were made before
    int samples;
    std::uint64_t coming = 0;  // single samples that surely follow, for which a layer may compute ahead
    bool first = true;         // No layer has computed ahead for it.

    // The first step that begins in the stretch, and how many do, where a tier makes a step every `frame` samples.
    std::uint64_t first_step(int frame) const { return (clock + frame - 1) / frame; }
    int steps(int frame) const {
        return static_cast<int>((clock + samples + frame - 1) / frame - first_step(frame));
    }
    // The place of such a step's first sample.
    int place(std::uint64_t step, int frame) const { return static_cast<int>(step * frame - clock); }
};

class Runtime {
public:
    Runtime(const Kernels& kernels, Team& team, int streams)
        : kernels(kernels),
          team(team),
          streams(streams),
          samples(std::max(1, kVectors / streams)),
          scratch_(team.size()) {}

    const Kernels& kernels;
    Team& team;
    const int streams;
    const int samples;  // the most of a stretch

    int vectors() const { return samples * streams; }  // of the longest stretch
    // How many samples a layer computes at once of what it knows so long before.
    int ahead(int known) const { return std::clamp(kAhead / streams, 1, known); }

    // The vectors of the streams that this thread computes. Threads that play their own streams compute single samples.
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
    static constexpr int kVectors = 128;  // So many stay in a core's own cache with the weights of a layer.
    static constexpr int kAhead = 8;      // More vectors would hardly be multiplied faster.

    struct Scratch {
        Buffer<std::uint8_t> codes;
        Buffer<float> scales;
        Buffer<std::int32_t> starts;
    };
    std::vector<Scratch> scratch_;  // of each thread
};

}  // namespace wavewright
