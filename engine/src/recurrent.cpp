#include "recurrent.hpp"

#include <algorithm>

namespace wavewright {
namespace {

constexpr int kUnits = kBlock / Cell::kGates;  // of a block

// r, z, n of a GRU as four gates: with n in the third place or in the fourth, and nothing in the other.
Dense four_gates(const Dense& three, int units, bool fourth) {
    const Dense nothing(units, three.columns);
    const Dense fresh = rows_of(three, 2 * units, units);
    return below(rows_of(three, 0, 2 * units), fourth ? below(nothing, fresh) : below(fresh, nothing));
}

}  // namespace

Cell::Cell(const Weights& weights, const std::string& name, int inputs, int units, bool gru) {
    const int rows = (gru ? 3 : 4) * units;
    input = take(weights, name + ".input_weight", rows, inputs);
    hidden = take(weights, name + ".hidden_weight", rows, units);
    bias = take(weights, name + ".input_bias", rows);
    if (gru) {
        input = four_gates(input, units, false);
        hidden = four_gates(hidden, units, true);
        bias = four_gates(bias, units, false) + four_gates(take(weights, name + ".hidden_bias", rows), units, true);
    }
}

Recurrent::Recurrent(const Setting& setting, const Dense& hidden, const Dense& bias, bool gru, const Dense& start)
    : kernels_(setting.kernels),
      team_(setting.team),
      streams_(setting.streams),
      gru_(gru),
      matrix_(hidden, setting.precision, Cell::kGates),
      stride_(padded(hidden.columns)),
      bias_(pack(bias, Cell::kGates)),
      start_hidden_(stride_),
      start_cell_(stride_),
      cell_(std::size_t(streams_) * stride_),
      gates_(std::size_t(streams_) * matrix_.blocks * kBlock) {
    for (Buffer<float>& values : hidden_) values = Buffer<float>(std::size_t(streams_) * stride_);
    for (int unit = 0; unit < start.columns; unit++) {
        start_hidden_[unit] = static_cast<float>(start(0, unit));
        if (!gru) start_cell_[unit] = static_cast<float>(start(1, unit));
    }
}

void Recurrent::begin(int thread) {
    if (thread > 0) return;
    for (int s = 0; s < streams_; s++) {
        std::copy_n(start_hidden_.data(), stride_, hidden_[0].data() + s * stride_);
        std::fill_n(hidden_[1].data() + s * stride_, stride_, 0.0f);
        std::copy_n(start_cell_.data(), stride_, cell_.data() + s * stride_);
    }
}

void Recurrent::recall(int thread, int turn, Scratch& scratch) {
    const auto [first, last] = own_blocks(thread);
    const Operand x = operand(kernels_, matrix_, hidden(turn), stride_, streams_, scratch);
    for (int block = first; block < last; block++) {
        for (int s = 0; s < streams_; s++) std::copy_n(bias_.data() + block * kBlock, kBlock, gates(s, block));
        kernels_.product(matrix_, block, x, streams_, gates(0, block), matrix_.blocks * kBlock);
    }
}

void Recurrent::feed(int thread, const Matrix& input, const float* x, std::ptrdiff_t stride, Scratch& scratch) {
    const auto [first, last] = own_blocks(thread);
    const Operand operands = operand(kernels_, input, x, stride, streams_, scratch);
    for (int block = first; block < last; block++)
        kernels_.product(input, block, operands, streams_, gates(0, block), matrix_.blocks * kBlock);
}

void Recurrent::finish(int thread, int turn) {
    const auto [first, last] = own_blocks(thread);
    for (int s = 0; s < streams_; s++)
        for (int block = first; block < last; block++) {
            const std::ptrdiff_t at = s * stride_ + block * kUnits;
            float* const after = hidden_[1 - turn].data() + at;
            if (gru_)
                kernels_.gru(gates(s, block), hidden(turn) + at, after);
            else
                kernels_.lstm(gates(s, block), cell_.data() + at, after);
        }
}

}  // namespace wavewright
