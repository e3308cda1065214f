#include "network.hpp"

#include <cstring>

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

void Network::check_codes(std::span<const std::byte> state) const {
    for (std::size_t i = 0; i < past_codes_.bytes().size(); i += sizeof(int)) {
        int code;
        std::memcpy(&code, state.data() + i, sizeof(int));
        if (code < 0 || code >= q_levels_)
            throw Error("state: code " + std::to_string(code) + " is not in 0 to " + std::to_string(q_levels_ - 1) +
                        "; it is damaged");
    }
}

void Network::add_read_bytes(std::size_t bytes, double share) { read_bytes_ += share * static_cast<double>(bytes); }

}  // namespace wavewright
