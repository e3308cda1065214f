#include "recurrent.hpp"

#include <algorithm>

namespace wavewright {
namespace {

constexpr int kUnits = kBlock / Cell::kGates;  // of a block

// r, z and n of a GRU as four gates. One of the third and the fourth is n, the other is zero.
Matrix four_gates(const Matrix& three, int units, bool n_is_fourth) {
    const Matrix zeros(units, three.columns);
    const Matrix n = rows_of(three, 2 * units, units);
    return vstack(rows_of(three, 0, 2 * units), n_is_fourth ? vstack(zeros, n) : vstack(n, zeros));
}

}  // namespace

Cell::Cell(const BuildContext& context, const std::string& name, int inputs, int units, bool gru, bool learned_state,
           int condition_width)
    : gru(gru) {
    const int rows = (gru ? 3 : 4) * units;
    input = context.weight(name + ".input_weight", rows, inputs);
    hidden = context.weight(name + ".hidden_weight", rows, units);
    bias = context.weight(name + ".input_bias", rows);
    if (condition_width) condition = context.weight(name + ".condition.weight", rows, condition_width);
    if (gru) {
        input = four_gates(input, units, false);
        if (condition_width) condition = four_gates(condition, units, false);
        hidden = four_gates(hidden, units, true);
        bias = four_gates(bias, units, false) + four_gates(context.weight(name + ".hidden_bias", rows), units, true);
    }
    if (learned_state) start = context.weight(name + ".start", gru ? 1 : 2, units);
}

Recurrent::Recurrent(const BuildContext& context, const Cell& cell, int steps)
    : runtime_(context.runtime),
      gru_(cell.gru),
      hidden_weight_(cell.hidden, context.precision, Cell::kGates),
      bias_(pack(cell.bias, Cell::kGates)) {
    const int units = cell.hidden.columns, streams = runtime_.streams;
    if (!cell.input.empty()) {
        input_ = Dense(context, cell.input, Matrix(), {.groups = Cell::kGates});
        from_input_ = Vectors(steps * streams, cell.input.rows);
    }
    context.runtime.reserve(streams, units);
    start_hidden_ = Vectors(1, units);
    start_cell_ = Vectors(1, units);
    for (int unit = 0; unit < cell.start.columns; unit++) {
        start_hidden_[0][unit] = static_cast<float>(cell.start(0, unit));
        if (!gru_) start_cell_[0][unit] = static_cast<float>(cell.start(1, unit));
    }
    for (Vectors& hidden : hidden_) hidden = Vectors(streams, units);
    cell_ = Vectors(streams, units);
    gates_ = Vectors(streams, Cell::kGates * units);
}

void Recurrent::reset() {
    for (int s = 0; s < runtime_.streams; s++) {
        std::copy_n(start_hidden_.data, start_hidden_.stride, hidden_[0][s]);
        std::fill_n(hidden_[1][s], hidden_[1].stride, 0.0f);
        std::copy_n(start_cell_.data, start_cell_.stride, cell_[s]);
    }
}

void Recurrent::start(int thread, std::uint64_t step) {
    const auto [first, last] = own_blocks(thread);
    const auto [first_stream, last_stream] = own_streams(thread);
    for (int s = first_stream; s < last_stream; s++)
        std::copy_n(bias_.data() + first * kBlock, (last - first) * kBlock, gates_[s] + first * kBlock);
    const Operand operands = runtime_.operand(thread, hidden_weight_, hidden(step));
    const VectorsView gates = runtime_.own(thread, gates_);
    for (int block = first; block < last; block++)
        runtime_.kernels.product(hidden_weight_, block, operands, gates.count, gates.data + block * kBlock, gates.stride);
}

void Recurrent::read_input(int thread, const VectorsView& x) {
    input_.apply(thread, x, from_input_.slice(0, x.count));
}

void Recurrent::add_gates(int thread, const VectorsView& x) {
    const auto [first, last] = own_blocks(thread);
    const auto [first_stream, last_stream] = own_streams(thread);
    for (int s = first_stream; s < last_stream; s++)
        runtime_.kernels.add(gates_[s] + first * kBlock, x[s] + first * kBlock, (last - first) * kBlock);
}

void Recurrent::add_codes(int thread, const CodeImage& image, const CodesView& codes) {
    image.add(thread, codes, gates_);
}

void Recurrent::finish(int thread, std::uint64_t step, const VectorsView& y, const VectorsView& x) {
    const auto [first, last] = own_blocks(thread);
    const VectorsView& before = hidden(step);
    const VectorsView& after = hidden(step + 1);
    const auto [first_stream, last_stream] = own_streams(thread);
    for (int s = first_stream; s < last_stream; s++)
        for (int block = first; block < last; block++) {
            const float* const gates = gates_[s] + block * kBlock;
            const int unit = block * kUnits;
            if (gru_)
                runtime_.kernels.gru(gates, before[s] + unit, after[s] + unit);
            else
                runtime_.kernels.lstm(gates, cell_[s] + unit, after[s] + unit);
            for (int i = unit; i < unit + kUnits; i++) y[s][i] = x.data ? x[s][i] + after[s][i] : after[s][i];
        }
}

}  // namespace wavewright
