#include "network.hpp"

namespace wavewright {

Network::Network(const BuildContext& context, int past)
    : runtime_(context.runtime),
      team_(context.runtime.team),
      streams_(context.runtime.streams),
      q_levels_(context.q_levels),
      past_codes_(streams_, past),
      logits_(streams_, q_levels_) {
    add_state({past_codes_.bytes()});
}

void Network::add_state(const std::vector<std::span<std::byte>>& parts) {
    state_.insert(state_.end(), parts.begin(), parts.end());
}

void Network::add_read_bytes(std::size_t bytes, double share) { read_bytes_ += share * static_cast<double>(bytes); }

}  // namespace wavewright
