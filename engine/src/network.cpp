#include "network.hpp"

#include <cstring>

namespace wavewright {

Network::Network(const BuildContext& context, int past)
    : runtime_(context.runtime),
      team_(context.runtime.team),
      streams_(context.runtime.streams),
      vectors_(context.runtime.vectors()),
      q_levels_(context.q_levels),
      condition_(context.condition),
      prediction_(context.prediction),
      past_codes_(streams_, past, context.runtime.samples),
      output_count_(prediction_                ? prediction_->outputs()
                    : context.fine_levels == 1 ? q_levels_
                                               : context.coarse_levels() + FineOutput::kHidden),
      outputs_(vectors_, output_count_),
      coarse_levels_(context.coarse_levels()) {
    add_state({past_codes_.bytes()});
    if (context.fine_levels == 1) return;
    fine_ = std::make_unique<FineOutput>(context);
    add_work(fine_->cost());
}

VectorsView Network::add_entry(const BuildContext& context, const Matrix& weight, int groups) {
    Entry entry{Dense(context, weight, Matrix(), {.groups = groups}), Vectors(streams_, weight.rows)};
    add_state({entry.held.bytes()});
    add_work(entry.matrix.cost(), 1.0 / condition_->hop());
    return entries_.emplace_back(std::move(entry)).held;
}

void Network::look_ahead(int thread, const Stretch& stretch, const KnownCodes& known) {
    const auto [first, last] = team_.items(thread, streams_);
    for (int s = first; s < last; s++) {
        const std::int32_t* const codes = known.of(s);
        past_codes_.lay_out(s, codes, stretch.samples);
        for (int i = 1; prediction_ && i < stretch.samples; i++) prediction_->hear(i * streams_ + s, codes[i - 1]);
    }
    team_.arrive_and_wait(thread);
}

void Network::begin_frame(int thread, std::uint64_t clock) {
    condition_->encode(thread, clock);
    if (prediction_) {
        const auto [first, last] = team_.items(thread, streams_);
        for (int s = first; s < last; s++) prediction_->begin_frame(s, condition_->features()[s]);
    }
    const Operand operand = entries_[0].matrix.operand(thread, condition_->vectors());
    for (const Entry& entry : entries_) entry.matrix.apply(thread, operand, entry.held);
    team_.arrive_and_wait(thread);
}

void Network::add_state(const std::vector<std::span<std::byte>>& parts) {
    state_.insert(state_.end(), parts.begin(), parts.end());
}

void Network::check_codes(std::span<const std::byte> state) const {
    for (std::size_t i = 0; i < past_codes_.bytes().size(); i += sizeof(int)) {
        int code;
        std::memcpy(&code, state.data() + i, sizeof(int));
        if (code < 0 || code >= q_levels_)
            throw Error("state: code " + std::to_string(code) + " is not in 0 to " + std::to_string(q_levels_ - 1) +
                        "; it is damaged");
    }
}

void Network::add_work(const Cost& cost, double uses, double reads) {
    const auto bytes = static_cast<double>(cost.bytes);
    work_ += {uses * static_cast<double>(cost.multiply_adds), reads * bytes, bytes};
}

}  // namespace wavewright
