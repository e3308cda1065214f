// What a slow tier hands on to a faster one.
#pragma once

#include "dense.hpp"

namespace wavewright {

// Vectors that each step of a slow tier leaves for so many steps of the faster one. They are (steps, ratio, streams), and
// begin with those of the step in progress where a stretch begins.
class Handed {
public:
    Handed() = default;
    // frame: samples of a step of the slow tier.
    Handed(const Runtime& runtime, int frame, int ratio, int size);

    // The most vectors that the steps of a stretch leave.
    int capacity() const { return vectors_.count; }
    std::span<std::byte> state() const;
    // Those of `count` steps of the faster tier, from a step on.
    VectorsView of(const Stretch& stretch, std::uint64_t step, int count) const {
        const auto first = static_cast<int>(step - stretch.clock / frame_ * ratio_);
        return vectors_.slice(first * runtime_->streams, count * runtime_->streams);
    }
    // Moves the thread's own rows of the last step in progress to where the next stretch looks for them.
    void keep(int thread, const Stretch& stretch) const;

protected:
    const Runtime* runtime_ = nullptr;
    int frame_ = 1, ratio_ = 1;
    Vectors vectors_;
};

// Handed vectors that a matrix for each step of the faster tier makes.
class Upsampling : public Handed {
public:
    Upsampling() = default;
    Upsampling(const Runtime& runtime, int frame, std::vector<Dense> matrices, int size);

    bool empty() const { return matrices_.empty(); }
    int ratio() const { return ratio_; }
    // Makes them from x (steps, streams), of all steps that begin in the stretch.
    void apply(int thread, const Stretch& stretch, const VectorsView& x) const;
    // y (ratio, vectors) of the vectors x
    void apply(int thread, const VectorsView& x, const VectorsView& y) const;

private:
    std::vector<Dense> matrices_;
};

}  // namespace wavewright
