// An LSTM or GRU layer. Each thread sums all four gates of its own units and streams, and finishes
// those units.
#pragma once

#include "codes.hpp"
#include "dense.hpp"

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
// start, any of the add functions, finish. `step` counts the steps that the layer has made. The input's part of the
// gates is summed apart from the past's, so that it is one product for all steps of a stretch.
class Recurrent {
public:
    // steps: the most of a stretch.
    Recurrent(const BuildContext& context, const Cell& cell, int steps);

    Cost cost() const { return hidden_weight_.cost() += input_.cost(); }
    std::vector<std::span<std::byte>> state() const { return {hidden_[0].bytes(), hidden_[1].bytes(), cell_.bytes()}; }
    void reset();

    // The hidden values before the step. Those after the step are hidden(step + 1).
    const VectorsView& hidden(std::uint64_t step) const { return hidden_[step % 2]; }

    // gates = bias + hidden matrix * hidden(step)
    void start(int thread, std::uint64_t step);
    // Multiplies the input matrix with x (steps, streams), for add_input.
    void read_input(int thread, const VectorsView& x);
    // gates += input matrix * x, of the stretch's step number k
    void add_input(int thread, int k) { add_gates(thread, from_input_.slice(k * runtime_.streams, runtime_.streams)); }
    // gates += x, where x is packed like the gates.
    void add_gates(int thread, const VectorsView& x);
    // gates += image of the codes
    void add_codes(int thread, const CodeImage& image, const CodesView& codes);
    // Computes hidden(step + 1) from the gates. y = hidden(step + 1), to which x is added where it is given.
    void finish(int thread, std::uint64_t step, const VectorsView& y, const VectorsView& x = {});

private:
    std::pair<int, int> own_blocks(int thread) const { return runtime_.team.rows(thread, hidden_weight_.blocks); }
    std::pair<int, int> own_streams(int thread) const { return runtime_.team.streams(thread, runtime_.streams); }

    const Runtime& runtime_;
    bool gru_;
    Dense input_;
    PackedMatrix hidden_weight_;
    Buffer<float> bias_;
    Vectors start_hidden_, start_cell_;  // one vector for all streams
    Vectors hidden_[2], cell_, gates_;
    Vectors from_input_;  // of the steps of a stretch
};

}  // namespace wavewright
