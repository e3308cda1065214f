// An LSTM or GRU layer. Each thread sums all four gates of its own units and streams, and finishes
// those units.
#pragma once

#include "codes.hpp"

namespace wavewright {

// The weights of a layer with four gates to a unit. An LSTM's gates are i, f, g and o. A GRU's are r, z and two parts
// of the new value, from the input and from the past, since the reset gate scales only the second.
struct Cell {
    static constexpr int kGates = 4;
    bool gru;
    Matrix input;  // (gates, inputs), or empty for a layer without a matrix for its input
    Matrix hidden, bias;
    Matrix condition;  // (gates, width), or empty for a layer into which no condition enters
    Matrix start;      // (2 or 1, units): the first hidden values and an LSTM's first cells, or empty for zeros

    Cell(const BuildContext& context, const std::string& name, int inputs, int units, bool gru,
         bool learned_state = false, int condition_width = 0);
};

// A step is computed in parts, since the layer's own past does not depend on the present input:
// start, any of the add functions, finish. `step` counts the steps that the layer has made.
class Recurrent {
public:
    Recurrent(const BuildContext& context, const Cell& cell);

    Cost cost() const { return hidden_weight_.cost() += input_weight_.cost(); }
    std::vector<std::span<std::byte>> state() const { return {hidden_[0].bytes(), hidden_[1].bytes(), cell_.bytes()}; }
    void reset();

    // The hidden values before the step. Those after the step are hidden(step + 1).
    const VectorsView& hidden(std::uint64_t step) const { return hidden_[step % 2]; }

    // gates = bias + hidden matrix * hidden(step)
    void start(int thread, std::uint64_t step);
    // gates += input matrix * x
    void add_input(int thread, const VectorsView& x);
    // gates += x, where x is packed like the gates.
    void add_gates(int thread, const VectorsView& x);
    // gates += image of the codes
    void add_codes(int thread, const CodeImage& image, const CodeHistory& codes);
    // Computes hidden(step + 1) from the gates.
    void finish(int thread, std::uint64_t step);
    // y = x + hidden(step + 1)
    void add_residual(int thread, std::uint64_t step, const VectorsView& x, const VectorsView& y) const;

private:
    std::pair<int, int> own_blocks(int thread) const { return runtime_.team.rows(thread, hidden_weight_.blocks); }
    std::pair<int, int> own_streams(int thread) const { return runtime_.team.streams(thread, runtime_.streams); }
    void add_product(int thread, const PackedMatrix& weight, const VectorsView& x);

    const Runtime& runtime_;
    bool gru_;
    PackedMatrix input_weight_, hidden_weight_;
    Buffer<float> bias_;
    Vectors start_hidden_, start_cell_;  // one vector for all streams
    Vectors hidden_[2], cell_, gates_;
};

}  // namespace wavewright
