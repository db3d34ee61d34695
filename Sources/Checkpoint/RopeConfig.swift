import Foundation
import GGUF

/// Rotary position parameters, in the newer form (`rope_parameters`) or the older (`rope_theta`, `rope_scaling`).
struct RopeConfig: Sendable {
  let theta: Double
  let type: String
  private let parameters: JSONValue
  private let path: String

  init(_ config: Config) throws {
    path = config.path
    parameters = config["rope_parameters"] ?? config["rope_scaling"] ?? .null
    guard parameters == .null || parameters.object != nil else {
      throw CheckpointError(path: path, subject: "key rope_scaling", "is no object")
    }
    theta = parameters["rope_theta"]?.double ?? config["rope_theta"]?.double ?? 10000
    type = (parameters["rope_type"]?.string ?? parameters["type"]?.string ?? "default").lowercased()
    guard ["default", "linear", "yarn", "llama3", "mrope"].contains(type) else {
      throw CheckpointError(
        path: path, subject: "key rope_scaling", "is of the unknown type \(type)",
        hint: "known: default, linear, yarn, llama3")
    }
  }

  func double(_ key: String) -> Double? { parameters[key]?.double }

  private func needed(_ key: String) throws -> Double {
    guard let value = double(key), value > 0, value.isFinite else {
      throw CheckpointError(
        path: path, subject: "key rope_scaling.\(key)",
        double(key) == nil ? "is missing, and type \(type) needs it" : "is not a positive number")
    }
    return value
  }

  /// The keys of linear scaling and of YaRN ("YaRN: Efficient Context Window Extension of Large Language Models").
  func scalingKeys(_ name: String, _ config: Config) throws -> Metadata {
    guard type == "linear" || type == "yarn" else { return [:] }
    var metadata: Metadata = [
      "\(name).rope.scaling.type": .string(type),
      "\(name).rope.scaling.factor": .float32(Float(try needed("factor"))),
    ]
    guard type == "yarn" else { return metadata }
    let context = try double("original_max_position_embeddings") ?? Double(config.int("max_position_embeddings"))
    guard let original = UInt32(exactly: context) else {
      throw CheckpointError(
        path: path, subject: "key rope_scaling.original_max_position_embeddings", "is not a positive integer")
    }
    metadata["\(name).rope.scaling.original_context_length"] = .uint32(original)
    for (key, sources) in [
      ("yarn_ext_factor", ["extrapolation_factor"]), ("yarn_attn_factor", ["attention_factor", "attn_factor"]),
      ("yarn_beta_fast", ["beta_fast"]), ("yarn_beta_slow", ["beta_slow"]),
    ] {
      if let value = sources.lazy.compactMap({ double($0) }).first {
        metadata["\(name).rope.scaling.\(key)"] = .float32(Float(value))
      }
    }
    return metadata
  }

  /// Llama 3's scaling, as one factor per rotated pair: wavelengths beyond the original context are stretched by
  /// `factor`, short ones left, and those between blended. Source: "The Llama 3 Herd of Models" and its reference code.
  /// In single precision, as that code computes. Nil for other types.
  func llama3Factors(headSize: Int) -> [Float]? {
    guard type == "llama3" else { return nil }
    let factor = Float(double("factor") ?? 8)
    let low = Float(double("low_freq_factor") ?? 1)
    let high = Float(double("high_freq_factor") ?? 4)
    let context = Float(double("original_max_position_embeddings") ?? 8192)
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
