// A dense layer: y = W x + b for any number of vectors. Each thread computes its own rows and streams.
#pragma once

#include "build_context.hpp"

namespace wavewright {

struct DenseOptions {
    bool relu = false;  // y = max(W x + b, 0)
    int groups = 1;     // see PackedMatrix
    int vectors = 0;    // the greatest number of them, or 0 for those of the longest stretch
};

class Dense {
public:
    Dense() = default;
    // An empty bias is zero.
    Dense(const BuildContext& context, const Matrix& weight, const Matrix& bias, const DenseOptions& options = {});

    Cost cost() const { return weight_.cost(); }
    // Layers of one shape and precision can share the operand, which costs time in int8.
    Operand operand(int thread, const VectorsView& x) const { return runtime_->operand(thread, weight_, x); }

    // y = W x + b
    void apply(int thread, const VectorsView& x, const VectorsView& y) const { apply(thread, operand(thread, x), y); }
    void apply(int thread, const Operand& x, const VectorsView& all) const;
    // y += W x + b, without relu.
    void add(int thread, const VectorsView& x, const VectorsView& all) const;

private:
    const Runtime* runtime_ = nullptr;
    PackedMatrix weight_;
    Buffer<float> bias_;
    bool relu_ = false;
};

}  // namespace wavewright
