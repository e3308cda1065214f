// What all models have in common. All threads of a team turn the past codes of every stream into logits.
#pragma once

#include <algorithm>
#include <memory>
#include <span>
#include <vector>

#include "codes.hpp"
#include "condition.hpp"
#include "dense.hpp"
#include "fine_output.hpp"
#include "prediction.hpp"

namespace wavewright {

// Known codes (streams, n), of which a stretch takes some. Stream s begins at codes + s * stride.
struct KnownCodes {
    const std::int32_t* codes = nullptr;
    std::size_t stride = 0;

    const std::int32_t* of(int stream) const { return codes + stream * stride; }
    KnownCodes from(std::size_t i) const { return {codes + i, stride}; }
};

class Network {
public:
    // past: how many codes of each stream the network looks back at.
    Network(const BuildContext& context, int past);
    virtual ~Network() = default;

    // Puts all streams into the state that endless silence leaves. The past codes are silence already. The caller of
    // the team works alone meanwhile.
    virtual void reset() = 0;
    // How many of `samples` from `clock` on can be one stretch. It ends with a control frame.
    int stretch(std::uint64_t clock, int samples) const {
        if (!condition_) return samples;
        return std::min(samples, condition_->hop() - static_cast<int>(clock % condition_->hop()));
    }
    // Computes the logits of the codes of a stretch from the codes before each. Without `wanted`, only the state goes on.
    // Where there are several samples, their codes are given. Every thread of the team calls step, with its number. When
    // step returns, the thread can read the logits of its items (Team::items) of the vectors (samples, streams).
    void step(int thread, const Stretch& stretch, const KnownCodes& known, bool wanted) {
        if (condition_ && stretch.clock % condition_->hop() == 0) begin_frame(thread, stretch.clock);
        if (stretch.samples > 1) look_ahead(thread, stretch, known);
        predict(thread, stretch, wanted);
    }

    // One thread pushes a stream's codes of a stretch, before the next.
    void push_codes(int stream, const std::int32_t* codes, int count) {
        for (int i = 0; i < count; i++) past_codes_.push(stream, codes[i]);
        if (prediction_) prediction_->hear(stream, codes[count - 1]);
    }
    int past() const { return past_codes_.length(); }
    // The logits of all codes, or of the coarse parts. They last until the thread's next call.
    const float* logits(int thread, int vector) const {
        return prediction_ ? prediction_->logits(thread, vector, outputs_[vector]) : outputs_[vector];
    }
    // Those of the fine part of a code drawn in two parts, once its coarse part is known. See FineOutput.
    const float* fine_logits(int thread, int vector, int coarse) const {
        return fine_->logits(thread, outputs_[vector] + coarse_levels_, coarse);
    }
    std::span<const std::span<std::byte>> state() const { return state_; }
    // Throws Error where a saved state, which begins with the past codes, holds one that is no code. Codes are indices.
    void check_codes(std::span<const std::byte> state) const;
    const Work& work() const { return work_; }

protected:
    // Does what step does, when what enters by the condition is held.
    virtual void predict(int thread, const Stretch& stretch, bool wanted) = 0;

    // What the vectors of a stretch look back at.
    CodesView codes(const Stretch& stretch) const { return past_codes_.view(stretch.samples); }

    // Adds a place where the condition enters by a matrix (rows, width). Returns the product of that matrix and the
    // encoded frame, for each stream. It lasts as long as the frame, and is packed as a layer of so many groups.
    VectorsView add_entry(const BuildContext& context, const Matrix& weight, int groups = 1);
    // Adds memory to the state that an engine saves.
    void add_state(const std::vector<std::span<std::byte>>& parts);
    // Adds weights that a step multiplies so many times on average, and reads as often, or `reads` times.
    void add_work(const Cost& cost, double uses = 1) { add_work(cost, uses, uses); }
    void add_work(const Cost& cost, double uses, double reads);

    const Runtime& runtime_;
    Team& team_;
    const int streams_, vectors_, q_levels_;  // vectors_: the most of a stretch
    Condition* const condition_;    // null for a model without one
    Prediction* const prediction_;  // likewise
    CodeHistory past_codes_;
    const int output_count_;  // logits, or what Prediction::logits takes, or coarse logits and what FineOutput takes
    Vectors outputs_;

private:
    struct Entry {
        Dense matrix;
        Vectors held;
    };

    // Tells the vectors of a stretch the codes before each. When look_ahead returns, the thread can read all of them.
    void look_ahead(int thread, const Stretch& stretch, const KnownCodes& known);
    // Encodes the frame that begins. When it returns, the thread can read what enters its streams (Team::streams).
    void begin_frame(int thread, std::uint64_t clock);

    const int coarse_levels_;
    std::unique_ptr<const FineOutput> fine_;  // null where a code is drawn at once
    std::vector<Entry> entries_;
    std::vector<std::span<std::byte>> state_;
    Work work_;
};

}  // namespace wavewright
