import Files
import Foundation
import GGUF

/// Parameters of rotary positions, in the newer form (`rope_parameters`) or the older one (`rope_theta`,
/// `rope_scaling`).
struct RopeConfig: Sendable {
  let theta: Double
  let type: String
  /// The factor by which scaling extends the context; 1 without scaling.
  let factor: Double
  /// The context length of the training, in tokens.
  let originalContext: Double
  private let parameters: JSONValue

  /// - Parameter theta: the architecture's default of `rope_theta`.
  init(_ config: Config, theta: Double) throws {
    let (name, parameters) = Self.parameters(of: config)
    self.parameters = parameters
    let (outerName, outer) = Self.outerParameters(of: config)
    for (kind, values) in (outer.object ?? [:]) where kind.hasSuffix("_attention") {
      guard values == .null || values.object != nil else {
        throw FormatError(
          path: config.path, subject: "key \(outerName).\(kind)", "is \(values.text), not an object")
      }
    }
    for key in ["rope_type", "type"] {
      guard let value = parameters[key], value != .null, value.string == nil else { continue }
      throw FormatError(path: config.path, subject: "key \(name).\(key)", "is \(value.text), not a string")
    }
    for key in Self.numbers {
      for (value, keyPath) in [
        (parameters[key], "\(name).\(key)"), (Self.besides.contains(key) ? config[key] : nil, key),
      ] {
        guard let value, value != .null, !value.isSinglePrecision else { continue }
        let fault = value.double?.isFinite == true ? "beyond single precision, in which a GGUF has it" : "not a number"
        throw FormatError(path: config.path, subject: "key \(config.title(keyPath))", "is \(value.text), \(fault)")
      }
    }
    self.theta = parameters["rope_theta"]?.double ?? config["rope_theta"]?.double ?? theta
    guard Float(self.theta) > 0 else {
      throw FormatError(path: config.path, subject: "key rope_theta", "is \(self.theta), not a positive number")
    }
    let type = Self.type(of: parameters)
    self.type = type
    let context = try config.int("max_position_embeddings")
    // The key beside the parameters has precedence over the one inside, as in `transformers`.
    let key = "original_max_position_embeddings"
    originalContext = config[key]?.double ?? parameters[key]?.double ?? Double(context)
    func positive(_ key: String) throws -> Double {
      guard let value = parameters[key]?.double, value > 0, value.isFinite else {
        throw FormatError(
          path: config.path, subject: "key \(name).\(key)",
          parameters[key]?.double == nil ? "is missing, and type \(type) needs it" : "is not a positive number")
      }
      return value
    }
    factor = ["linear", "yarn", "llama3"].contains(type) ? try positive("factor") : 1
    if type == "llama3" { for key in ["low_freq_factor", "high_freq_factor"] { _ = try positive(key) } }
    guard UInt32(exactly: originalContext) ?? 0 > 0 else {
      throw FormatError(path: config.path, subject: "key \(key)", "is not a positive integer")
    }
    try checkBounds(config, name)
    guard Float(magnitude).isFinite, Float(magnitude) > 0 else {
      throw FormatError(
        path: config.path, subject: "key \(name)", "multiplies queries and keys by \(magnitude), which is not positive")
    }
  }

  /// Refuses bounds of YaRN in the wrong order. 0 means the default.
  private func checkBounds(_ config: Config, _ name: String) throws {
    guard type == "yarn" else { return }
    let (fast, slow) = (nonzero("beta_fast") ?? 32, nonzero("beta_slow") ?? 1)
    let key = config.title("\(name).\(fast > 0 && slow < 0 ? "beta_slow" : "beta_fast")")
    guard slow > 0, fast > 0 else {
      throw FormatError(path: config.path, subject: "key \(key)", "is not a positive number")
    }
    guard fast >= slow else {
      throw FormatError(
        path: config.path, subject: "key \(key)", "is \(fast), below the other bound of YaRN, beta_slow \(slow)")
    }
  }

  /// Parameters that must be numbers if present. Those of `besides` may also be keys of config.json itself.
  private static let numbers =
    besides + [
      "factor", "attention_factor", "mscale", "mscale_all_dim", "low_freq_factor", "high_freq_factor", "beta_fast",
      "beta_slow", "extrapolation_factor", "llama_4_scaling_beta",
    ]
  private static let besides = ["rope_theta", "original_max_position_embeddings"]

  /// The object that holds the parameters, with its name; null if there is none. If each kind of layer has parameters,
  /// those of full attention.
  static func parameters(of config: Config) -> (name: String, parameters: JSONValue) {
    let (name, outer) = outerParameters(of: config)
    let kind = "full_attention"
    guard let inner = outer[kind], inner.object != nil else { return (name, outer) }
    return ("\(name).\(kind)", inner)
  }

  /// The parameters of all kinds of layers. The older form has precedence, as in `transformers`, unless it is empty.
  static func outerParameters(of config: Config) -> (name: String, parameters: JSONValue) {
    for name in ["rope_scaling", "rope_parameters"] {
      if let object = config[name], object.object?.isEmpty == false { return (name, object) }
    }
    return ("rope_parameters", .null)
  }

  /// The parameters of the form that is not used, if they differ from those in use.
  static func contradiction(in config: Config) -> (name: String, parameters: JSONValue)? {
    let (name, chosen) = outerParameters(of: config)
    guard name == "rope_scaling", let other = config["rope_parameters"], let fields = other.object, !fields.isEmpty,
      let used = chosen.object
    else { return nil }
    func theta(_ value: JSONValue) -> Double? { value["rope_theta"]?.double ?? config["rope_theta"]?.double }
    let ignored: Set<String> = ["type", "rope_type", "rope_theta"]
    let isEqual =
      type(of: chosen) == type(of: other) && theta(chosen) == theta(other)
      && Set(used.keys).union(fields.keys).subtracting(ignored).allSatisfy {
        (used[$0] ?? .null).equals(fields[$0] ?? .null)
      }
    return isEqual ? nil : ("rope_parameters", other)
  }

  /// The rotated elements of a head: `partial_rotary_factor` of them, inside the object or beside it.
  ///
  /// - Parameter factor: the architecture's default of a missing factor.
  func rotated(of headSize: Int, in config: Config, default factor: Double) throws -> Int {
    let key = "partial_rotary_factor"
    let given = parameters[key].flatMap { $0 == .null ? nil : $0 } ?? config[key]
    let factor = given?.double ?? factor
    let count = factor > 0 && factor <= 1 ? Int(Double(headSize) * factor) : 0
    guard given == nil || given?.double != nil, count > 0, count % 2 == 0 else {
      throw FormatError(
        path: config.path, subject: "key \(key)",
        "is \(given?.text ?? "\(factor)"), which does not rotate an even number of a head's \(headSize) elements")
    }
    return count
  }

  static func type(of parameters: JSONValue) -> String {
    (parameters["rope_type"]?.string ?? parameters["type"]?.string ?? "default").lowercased()
  }

  /// The keys of linear scaling and of YaRN ("YaRN: Efficient Context Window Extension of Large Language Models").
  func scalingKeys(_ name: String) -> Metadata {
    guard type == "linear" || type == "yarn" else { return [:] }
    var metadata: Metadata = [
      "\(name).rope.scaling.type": .string(type),
      "\(name).rope.scaling.factor": .float32(Float(factor)),
    ]
    guard type == "yarn" else { return metadata }
    metadata["\(name).rope.scaling.original_context_length"] = .uint32(UInt32(originalContext))
    for (key, source) in [
      ("yarn_ext_factor", "extrapolation_factor"), ("yarn_beta_fast", "beta_fast"), ("yarn_beta_slow", "beta_slow"),
    ] {
      // 0 means the default.
      guard let value = parameters[source]?.double, value != 0 else { continue }
      metadata["\(name).rope.scaling.\(key)"] = .float32(Float(value))
    }
    setMagnitude(magnitude / growth(1), name, &metadata)
    return metadata
  }

  /// Writes YaRN's magnitude as a multiple of the value that readers derive from the factor.
  private func setMagnitude(_ multiple: Double, _ name: String, _ metadata: inout Metadata) {
    let key = "\(name).rope.scaling.attn_factor"
    metadata[key] = abs(multiple - 1) < 1e-6 ? nil : .float32(Float(multiple))
  }

  /// Llama 3's scaling, as one factor per rotated pair; nil for other types.
  ///
  /// Wavelengths beyond the original context are stretched by `factor`, short ones are kept, and those between are
  /// interpolated. Computed in single precision, like the reference code of "The Llama 3 Herd of Models".
  func llama3Factors(headSize: Int) -> [Float]? {
    guard type == "llama3", let low = parameters["low_freq_factor"]?.double.map({ Float($0) }),
      let high = parameters["high_freq_factor"]?.double.map({ Float($0) })
    else { return nil }
    let (factor, context) = (Float(factor), Float(originalContext))
    return stride(from: 0, to: headSize, by: 2).map { index in
      let frequency = 1 / pow(Float(theta), Float(index) / Float(headSize))
      let wavelength = Float(2 * Double.pi) / frequency
      if wavelength < context / high { return 1 }
      if wavelength > context / low { return factor }
      let smooth = (context / wavelength - low) / (high - low)
      return 1 / ((1 - smooth) / factor + smooth)
    }
  }
}

extension RopeConfig {
  /// YaRN's magnitude of queries and keys, which grows with the logarithm of the factor.
  private func growth(_ scale: Double) -> Double { factor > 1 ? 1 + 0.1 * scale * log(factor) : 1 }

  private func nonzero(_ key: String) -> Double? { parameters[key]?.double.flatMap { $0 == 0 ? nil : $0 } }

  /// The factor applied to cosines and sines.
  private var magnitude: Double {
    guard type == "yarn" else { return 1 }
    if let given = parameters["attention_factor"]?.double { return given }
    guard let scale = nonzero("mscale"), let all = nonzero("mscale_all_dim") else { return growth(1) }
    return growth(scale) / growth(all)
  }

  /// Adds the keys of attention whose scores grow with the position, and replaces that of YaRN's magnitude, which readers
  /// derive from both scales (mistral3).
  func addTemperedKeys(_ name: String, to metadata: inout Metadata) {
    guard type == "yarn" else { return }
    if let all = parameters["mscale_all_dim"]?.double {
      metadata["\(name).rope.scaling.yarn_log_multiplier"] = .float32(Float(all))
      setMagnitude(magnitude * growth(all) / growth(1), name, &metadata)
    }
    if let scale = nonzero("llama_4_scaling_beta") {
      metadata["\(name).attention.temperature_scale"] = .float32(Float(scale))
    }
  }

  /// The same keys for latent attention, whose readers need the length from which scores grow.
  func latentTemperatureKeys(_ name: String) -> Metadata {
    guard let scale = nonzero("llama_4_scaling_beta") else { return [:] }
    return [
      "\(name).attention.temperature_scale": .float32(Float(scale)),
      "\(name).attention.temperature_length": .uint32(UInt32(originalContext)),
    ]
  }

  /// The scaling keys for latent attention, whose scores have a magnitude of their own.
  ///
  /// Readers of deepseek2 multiply cosines and sines by `attn_factor`, and also by the growth if `yarn_log_multiplier`
  /// is 0. They multiply scores by the square of `attn_factor * (1 + yarn_log_multiplier * log(factor))`, and with
  /// linear scaling also by the square of the growth.
  func latentScalingKeys(_ name: String) -> Metadata {
    var metadata = scalingKeys(name)
    guard type == "linear" || type == "yarn" else { return metadata }
    let key = "\(name).rope.scaling.yarn_log_multiplier"
    let all = nonzero("mscale_all_dim")
    let scores = all.map(growth) ?? 1
    let applied = type == "yarn" ? magnitude : growth(1)
    if type == "yarn", applied == 1, let all {
      metadata[key] = .float32(Float(0.1 * all))
      setMagnitude(1, name, &metadata)
    } else if factor > 1, abs(scores / applied - 1) > 1e-6 {
      metadata[key] = .float32(Float((scores / applied - 1) / log(factor)))
      setMagnitude(magnitude, name, &metadata)
    }
    return metadata
  }
}

extension Config {
  /// The rotated pairs of each axis of an image's positions, four numbers. The axes are equal for text.
  ///
  /// - Parameters:
  ///   - absent: the value of a missing `mrope_section`.
  ///   - pairs: the rotated pairs of a head, which the axes share.
  func imageAxes(absent: [Int32]?, pairs: Int) throws -> [Int32]? {
    let (name, parameters) = RopeConfig.parameters(of: self)
    guard let given = parameters["mrope_section"], given != .null else { return absent }
    func failure(_ reason: String) -> FormatError {
      FormatError(path: path, subject: "key \(name).mrope_section", "is \(given.text), \(reason)")
    }
    let sizes = (given.array ?? []).compactMap(\.int).compactMap(Int32.init(exactly:)).prefix(4)
    guard sizes.count == min(4, given.array?.count ?? 0), !sizes.isEmpty, sizes.allSatisfy({ $0 >= 0 }) else {
      throw failure("not a list of sizes")
    }
    guard sizes.reduce(0, { $0 + Int($1) }) == pairs else {
      throw failure("which does not add up to the \(pairs) rotated pairs of a head")
    }
    return Array(sizes) + [Int32](repeating: 0, count: 4 - sizes.count)
  }
}

extension Config {
  /// Refuses a model without parameters of its rotation, where the default of the configuration class scales positions.
  func requireRotation() throws {
    guard ["rope_parameters", "rope_scaling", "rope_theta"].allSatisfy({ self[$0] ?? .null == .null }) else { return }
    throw FormatError(path: path, subject: "key rope_parameters", "is missing")
  }
}
