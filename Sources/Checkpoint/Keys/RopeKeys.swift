/// The forms of rotary positions that an architecture's GGUF supports.
struct RopeForms: Sendable {
  /// Llama 3's factors, stored as a tensor.
  var hasFactors = false
  /// Parameters for each kind of layer, under the kind's name. The model uses those of full attention.
  var hasKinds = false
  /// YaRN's bounds may be declared as fractions of dimensions. Readers of the GGUF round them nevertheless.
  var isRamped = false
  /// The first elements of a head may be rotated alone (`partial_rotary_factor`).
  var isPartial = false
  /// YaRN's bounds may be other than 32 and 1.
  var hasBetas = false
  /// YaRN's first bound may be 1 (Kimi K2). Readers of the GGUF take 32 nevertheless.
  var hasKimiBetas = false
  /// Scores may grow with the logarithm of the position (`llama_4_scaling_beta`).
  var isTempered = false
  /// The rotated elements of latent attention, a part of a head whose size is a key of its own.
  var isLatent = false
  /// Factors of the frequencies for short and for long texts (`longrope`).
  var hasLongFactors = false
}

extension KeyRule {
  /// The keys of `rope_scaling` or `rope_parameters`.
  static func rope(_ forms: RopeForms = RopeForms()) -> KeyRule {
    KeyRule { config, gguf in
      let (name, parameters) = RopeConfig.parameters(of: config)
      guard let fields = parameters.object else { return [] }
      var refused: [RefusedKey] = []
      func check(_ key: String, _ reason: String, _ isHonoured: (JSONValue) -> Bool) {
        guard let value = fields[key], value != .null, !isHonoured(value) else { return }
        refused.append(RefusedKey("\(name).\(key)", value.text, reason))
      }
      if let other = RopeConfig.contradiction(in: config) {
        refused.append(RefusedKey(other.name, other.parameters.text, "rope_scaling exists too and differs"))
      }
      let (outer, kinds) = RopeConfig.outerParameters(of: config)
      let known: Set<String> = forms.hasKinds ? ["full_attention", "sliding_attention"] : []
      for kind in kinds.object ?? [:] where kind.value.object != nil && !known.contains(kind.key) {
        refused.append(
          RefusedKey("\(outer).\(kind.key)", kind.value.text, "a GGUF of \(gguf) has one rotation for all layers"))
      }
      let type = RopeConfig.type(of: parameters)
      let types =
        ["default", "linear", "yarn"] + (forms.hasFactors ? ["llama3"] : [])
        + (forms.hasLongFactors ? ["longrope", "su"] : [])
      let typeKey = fields["rope_type"]?.string == nil ? "type" : "rope_type"
      check(typeKey, "a GGUF of \(gguf) has \(types.joined(separator: ", "))") { _ in
        types.contains(type) || type == "mrope"
      }
      if forms.isPartial {
        let beside = config["partial_rotary_factor"]
        if let beside, let inside = fields["partial_rotary_factor"], inside != .null, !inside.equals(beside) {
          refused.append(RefusedKey("partial_rotary_factor", beside.text, "\(name) has \(inside.text)"))
        }
      } else {
        let part = forms.isLatent ? config.rotatedPart : nil
        check("partial_rotary_factor", "a GGUF of \(gguf) means \(part.map { "\($0)" } ?? "1")") {
          $0.double == 1 || part != nil && $0.double == part
        }
      }
      if !forms.isTempered {
        check("llama_4_scaling_beta", "a GGUF of \(gguf) means none") { $0.double == 0 }
      } else if !forms.isLatent, type != "yarn" {
        check("llama_4_scaling_beta", "a GGUF of \(gguf) has it with yarn alone") { $0.double == 0 }
      }
      switch type {
      case "default": check("factor", "it has an effect only with a type") { $0.double == 1 }
      case "yarn":
        // Readers of these architectures compute the ramp with 32 and 1, and round its bounds to whole dimensions.
        if !forms.hasBetas {
          check("beta_fast", "a GGUF of \(gguf) means 32") {
            $0.double == 32 || $0.double == 0 || forms.hasKimiBetas && $0.double == 1
          }
          check("beta_slow", "a GGUF of \(gguf) means 1") { $0.double == 1 || $0.double == 0 }
        }
        check("truncate", "a GGUF of \(gguf) means true") { $0.bool == true || forms.isRamped && $0.bool == false }
        check("attn_factor", "a GGUF of \(gguf) means 1") { $0.double == 1 }
        check("extrapolation_factor", "a GGUF of \(gguf) means 1") { $0.double == 1 }
        check("apply_yarn_scaling", "a GGUF of \(gguf) means true") { $0.bool == true }
      default: break
      }
      return refused
    }
  }

  /// All parameters that have a meaning for some type.
  static let ropeKeys: Set<String> = [
    "rope_type", "type", "rope_theta", "factor", "original_max_position_embeddings", "attention_factor", "beta_fast",
    "beta_slow", "mscale", "mscale_all_dim", "truncate", "low_freq_factor", "high_freq_factor", "partial_rotary_factor",
    "llama_4_scaling_beta", "attn_factor", "extrapolation_factor", "apply_yarn_scaling", "finetuned", "mrope_section",
    "mrope_interleaved", "short_factor", "long_factor", "full_attention", "sliding_attention",
    "max_position_embeddings",
  ]
}

extension Config {
  /// The part of a latent attention's head that is rotated.
  fileprivate var rotatedPart: Double? {
    guard let plain = self["qk_nope_head_dim"]?.double, let rotated = self["qk_rope_head_dim"]?.double,
      plain + rotated > 0
    else { return nil }
    return rotated / (plain + rotated)
  }
}
