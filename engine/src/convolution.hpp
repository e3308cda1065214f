// A dilated causal convolution, one column a step. Each thread computes its own rows and streams.
#pragma once

#include "build_context.hpp"

namespace wavewright {

struct ConvolutionShape {
    int rows, columns, taps, dilation;
    int groups = 1;  // see PackedMatrix
};

// A ring holds the layer's inputs. Those of one sample are written straight into it, those of several are copied to it
// when they have been used. A stretch is computed in two parts, since the past taps do not depend on the present sample
// where there is but one. For some samples to come, their inputs are known as well. The past taps of all of them are one
// product, so their weights are read once.
class Convolution {
public:
    // Reads the weight `name` (rows, columns, taps) from the context. An empty bias is zero.
    Convolution(const BuildContext& context, const std::string& name, const ConvolutionShape& shape,
                const Matrix& bias);

    Cost past() const;  // of all taps but the present
    Cost present() const { return taps_.back().cost(); }
    int turn() const { return turn_; }  // so many samples share one reading of the past taps' weights
    std::span<std::byte> state() const { return ring_.bytes(); }

    // Where the inputs of a stretch are written: into the ring, or those of several samples into `room`.
    VectorsView inputs(const Stretch& stretch, const VectorsView& room) const {
        return stretch.samples == 1 ? slots(stretch.clock % slots_, 1)
                                    : room.slice(0, stretch.samples * runtime_->streams);
    }
    // sums = bias + the past taps. Past taps read x, the inputs, where several samples are computed at once.
    void start(int thread, const Stretch& stretch, const VectorsView& x, const VectorsView& sums) const;
    // sums += the present tap
    void finish(int thread, const VectorsView& x, const VectorsView& sums) const;
    // Copies the thread's own rows of inputs that are not in the ring to the ring, when all threads have used them.
    void keep(int thread, const Stretch& stretch, const VectorsView& x) const;
    // Copies the inputs of step 0 to the whole past.
    void fill_past();

private:
    VectorsView slots(std::uint64_t first, int count) const {
        const int streams = runtime_->streams;
        return {ring_.data() + static_cast<std::ptrdiff_t>(first) * streams * stride_, count * streams, stride_};
    }
    // sums = bias + the past taps
    void add_past(int thread, const Stretch& stretch, const VectorsView& x, const VectorsView& sums) const;
    void add_tap(int thread, int tap, const VectorsView& x, const VectorsView& all) const;

    const Runtime* runtime_;
    int dilation_, slots_;
    int turn_;  // samples whose past taps are computed at once
    std::ptrdiff_t stride_;
    Buffer<float> ring_;              // (slots, streams, stride)
    std::vector<PackedMatrix> taps_;  // the oldest first
    Buffer<float> bias_;
    Vectors ahead_;  // the sums of a turn's samples (turn, streams), of which none is kept beyond a call
};

}  // namespace wavewright
