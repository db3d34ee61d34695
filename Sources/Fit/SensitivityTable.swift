import Files
import Foundation
import GGUF
import Quantize
import Tensors

/// The measured cost of rounding each tensor. An allocation for any target uses it.
///
/// The drift that a tensor in some type causes is estimated as `coefficient * error[type]`: the local relative error, times
/// one number per tensor (or per class and band of layers) that is measured end to end. Neither factor suffices alone.
public struct SensitivityTable: Codable, Sendable, Equatable {
  public struct Entry: Codable, Sendable, Equatable {
    public let tensor: String
    public let dimensions: [Int]
    /// Relative squared error, weighted by importance, by type name.
    public let errors: [String: Double]
    /// The probe that measured the coefficient; nil if the coefficient comes from a neighbouring tensor.
    public var probe: String?
    /// KL divergence (nats) per unit of relative error; in an unknown unit where no probe was run.
    public var coefficient: Double
    /// The expectation of the coefficient from other models; nil in tables of earlier versions.
    public var expectation: Expectation?

    package init(tensor: String, dimensions: [Int], errors: [String: Double], probe: String?, coefficient: Double) {
      self.tensor = tensor
      self.dimensions = dimensions
      self.errors = errors
      self.probe = probe
      self.coefficient = coefficient
    }

    public func cost(of type: GGMLType) -> Double? { errors[type.name].map { $0 * coefficient } }
  }

  /// Tensors that were rounded together, and the resulting drift.
  public struct Probe: Codable, Sendable, Equatable {
    public let name: String
    public let tensors: [String]
    /// The type of the probe, the KL divergence (nats) that it caused, and the sum of its tensors' relative errors.
    public let type: String
    public let divergence: Double
    public let error: Double
    /// The standard error of `divergence` over windows of text; nil in tables of earlier versions.
    public let standardError: Double?

    package init(
      name: String, tensors: [String], type: String, divergence: Double, error: Double, standardError: Double?
    ) {
      self.name = name
      self.tensors = tensors
      self.type = type
      self.divergence = divergence
      self.error = error
      self.standardError = standardError
    }
  }

  static let currentFormat = 3
  /// Formats that are read. Version 2 has no expectations, and no errors of probes.
  private static let readFormats = 2...currentFormat

  public var format = currentFormat
  public let model: String
  public let modelFingerprint: String
  /// Digest of the importance matrix that weights the errors; nil for equal weights.
  public let importanceFingerprint: String?
  /// Digest of the probes' windows.
  public let textFingerprint: String
  /// Types whose errors are measured.
  public let types: [String]
  /// Number of tokens of the probes' windows, and of their scored positions.
  public let probeTokens: Int
  public let scoredPositions: Int
  /// Number of bands of layers.
  public var bands: Int
  /// False while probes are still to be run.
  public var isComplete: Bool
  public var probes: [Probe]
  public var entries: [Entry]
  /// The source of coefficients without probes; nil for probes alone, as in tables of earlier versions.
  public var evidence: Evidence?
  /// The grade of the whole table.
  public var grade: Evidence { probes.isEmpty ? evidence ?? .measured : .measured }

  package init(
    model: String, modelFingerprint: String, importanceFingerprint: String?, textFingerprint: String, types: [String],
    probeTokens: Int, scoredPositions: Int, bands: Int, isComplete: Bool, probes: [Probe], entries: [Entry]
  ) {
    self.model = model
    self.modelFingerprint = modelFingerprint
    self.importanceFingerprint = importanceFingerprint
    self.textFingerprint = textFingerprint
    self.types = types
    self.probeTokens = probeTokens
    self.scoredPositions = scoredPositions
    self.bands = bands
    self.isComplete = isComplete
    self.probes = probes
    self.entries = entries
  }
}

/// The reason why a file of sensitivities can't be used.
public enum SensitivityError: Error, Equatable, Sendable, CustomStringConvertible {
  case malformed(file: String, reason: String)
  case otherModel(file: String, model: String)
  case missingTensor(file: String, tensor: String)
  case otherDimensions(file: String, tensor: String, measured: [Int], model: [Int])
  /// A published table names tensors that the model does not have: how many of how many, and the first.
  case otherNames(file: String, model: String, count: Int, of: Int, first: [String])
  /// A sibling's table lacks classes of the model.
  case otherClasses(file: String, model: String, classes: [String])
  /// Numbers of a published table that can't be divergences: how many, and the first.
  case unusableValues(file: String, count: Int, first: String)

  public var description: String {
    switch self {
    case .malformed(let file, let reason): "\(file): \(reason)"
    case .otherModel(let file, let model): "\(file): was measured on another model, \(model)"
    case .missingTensor(let file, let tensor): "\(file): tensor \(tensor) was not measured"
    case .otherDimensions(let file, let tensor, let measured, let model):
      "\(file): tensor \(tensor) was measured with dimensions \(measured); the model has \(model)"
    case .otherNames(let file, let model, let count, let total, let first):
      "\(file): \(count) of \(total) names fit no tensor of \(model): \(first.joined(separator: ", "))"
    case .otherClasses(let file, let model, let classes):
      "\(file): has nothing about these classes of \(model): \(classes.joined(separator: ", "))"
    case .unusableValues(let file, let count, let first):
      "\(file): \(count == 1 ? "a value" : "\(count) values") can't be a divergence: \(first)"
    }
  }
}

extension SensitivityTable {
  /// Reads a file.
  ///
  /// - Throws: ``SensitivityError/malformed(file:reason:)``, and errors of reading.
  public init(path: String) throws {
    let file = try PositionedFile(path: path)
    let name = String(path.split(separator: "/").last ?? "")
    let data = Data(try TextFile.content(of: try file.bytes(in: 0..<file.size), path: path))
    struct Version: Decodable { let format: Int }
    guard let version = try? JSONDecoder().decode(Version.self, from: data) else {
      throw SensitivityError.malformed(file: name, reason: "is not a file of sensitivities")
    }
    guard Self.readFormats.contains(version.format) else {
      throw SensitivityError.malformed(
        file: name,
        reason: "has format \(version.format); formats \(Self.readFormats.lowerBound) to \(Self.currentFormat) are read"
      )
    }
    do {
      self = try JSONDecoder().decode(Self.self, from: data)
    } catch {
      throw SensitivityError.malformed(file: name, reason: "is damaged")
    }
    guard probes.allSatisfy({ $0.divergence >= 0 && $0.divergence.isFinite && $0.error >= 0 && $0.error.isFinite }),
      probes.allSatisfy({ $0.standardError.map { $0 >= 0 && $0.isFinite } ?? true }),
      entries.allSatisfy({ $0.coefficient >= 0 && $0.coefficient.isFinite }),
      entries.allSatisfy({ $0.errors.values.allSatisfy { $0 >= 0 && $0.isFinite } }),
      entries.allSatisfy({ $0.expectation.map { $0.log.isFinite && $0.spread > 0 && $0.spread.isFinite } ?? true })
    else { throw SensitivityError.malformed(file: name, reason: "has a negative or non-finite number") }
    // A coefficient is at most a divergence over the smallest error of a type: far from e^100.
    guard entries.allSatisfy({ abs($0.expectation?.log ?? 0) < 100 && $0.coefficient < exp(100) }) else {
      throw SensitivityError.malformed(file: name, reason: "has a coefficient beyond e^100")
    }
    var names = Set<String>()
    for entry in entries where !names.insert(entry.tensor).inserted {
      throw SensitivityError.malformed(file: name, reason: "tensor \(entry.tensor) appears twice")
    }
  }

  public func write(to path: String, overwrite: Bool) throws {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
    let bytes = Array(try encoder.encode(self))
    let output = try OutputFile(path: path, overwrite: overwrite)
    try output.write(bytes.span.bytes, at: 0)
    try output.commit()
  }

  /// Refuses a model other than the measured one.
  public func check(against model: any ModelSource, file: String) throws {
    guard try ModelFingerprint(of: model).hex == modelFingerprint else {
      throw SensitivityError.otherModel(file: file, model: self.model)
    }
    let measured = Dictionary(entries.map { ($0.tensor, $0.dimensions) }) { first, _ in first }
    for tensor in model.tensors where tensor.isQuantizable {
      guard let dimensions = measured[tensor.name] else {
        throw SensitivityError.missingTensor(file: file, tensor: tensor.name)
      }
      guard dimensions == tensor.shape.dimensions else {
        throw SensitivityError.otherDimensions(
          file: file, tensor: tensor.name, measured: dimensions, model: tensor.shape.dimensions)
      }
    }
  }
}
