// A dilated causal convolution, one column a step. Each thread computes its own rows and streams.
#pragma once

#include "build_context.hpp"

namespace wavewright {

struct ConvolutionShape {
    int rows, columns, taps, dilation;
    int groups = 1;  // see PackedMatrix
};

// A ring holds the layer's inputs, which are written straight into it. A step is computed in two parts, since the past
// taps do not depend on the present sample.
class Convolution {
public:
    // Reads the weight `name` (rows, columns, taps) from the context. An empty bias is zero.
    Convolution(const BuildContext& context, const std::string& name, const ConvolutionShape& shape,
                const Matrix& bias);

    Cost cost() const;  // of all taps
    std::span<std::byte> state() const { return ring_.bytes(); }

    // Where the inputs of `back` samples before step `clock` lie.
    VectorsView inputs(std::uint64_t clock, std::uint64_t back = 0) const {
        const std::uint64_t slot = (clock + slots_ - back) % slots_;
        return {ring_.data() + slot * runtime_->streams * stride_, runtime_->streams, stride_};
    }
    // sums = bias + the past taps
    void start(int thread, std::uint64_t clock, const VectorsView& all) const;
    // sums += the present tap, where x is inputs(clock).
    void finish(int thread, const VectorsView& x, const VectorsView& sums) const;
    // Copies the inputs of step 0 to the whole past.
    void fill_past();

private:
    void add_tap(int thread, int tap, const VectorsView& x, const VectorsView& all) const;

    const Runtime* runtime_;
    int dilation_, slots_;
    std::ptrdiff_t stride_;
    Buffer<float> ring_;              // (slots, streams, stride)
    std::vector<PackedMatrix> taps_;  // the oldest first
    Buffer<float> bias_;
};

}  // namespace wavewright
