import Checkpoint
import Files
import Fit
import Foundation
import GGUF
import Hub
import Imatrix
import Perplexity
import Plan
import Quantize
import Tensors
import Tokenizers
import Transformer

/// A failure for the user: one line that names the location, an optional hint, and an exit code.
struct Failure: Error {
  /// The codes of sysexits.h that scripts may rely on.
  enum Code: Int32 {
    /// A requested condition is not met (`drift --fail-above`, `plan` for a machine that fits nothing).
    case unmet = 1
    case usage = 64
    case data = 65
    case missing = 66
    case machine = 69
    case unwritable = 73
    case io = 74
    case interrupted = 130
  }

  let code: Code
  let message: String
  var hint: String?

  init(_ code: Code, _ message: String, hint: String? = nil) {
    self.code = code
    self.message = message
    self.hint = hint
  }

  /// Writes at most two lines to standard error.
  func report() {
    Terminal.write([("qtool:", .error), (" \(HubModels.described(message))", .plain)])
    if let hint { Terminal.write([("hint:", .bold), (" \(HubModels.described(hint))", .plain)]) }
  }
}

extension Failure {
  /// The failure of an error; nil for errors that the argument parser words itself.
  init?(_ error: any Error) {
    switch error {
    case let failure as Failure: self = failure
    case is Interruption: self.init(.interrupted, "interrupted; no file was written under the final name")
    case let paused as Paused: self.init(paused: paused)
    case let other as OtherRun: self.init(.data, other.description, hint: other.hint)
    case let error as FileError: self.init(file: error)
    case let error as PartsError: self.init(parts: error)
    case let error as KeptStatesError: self.init(states: error)
    case let error as TextError: self.init(.data, error.description, hint: error.hint)
    case let error as FormatError:
      self.init(error.kind == .missing ? .missing : .data, error.description, hint: error.advice)
    case let error as MetadataError: self.init(.data, error.description)
    case let error as RefusedConfig: self.init(refused: error)
    case let error as UnneededIgnoring: self.init(unneeded: error)
    case let error as TokenizerError: self.init(.data, error.description, hint: error.hint)
    case let error as ForwardError: self.init(forward: error)
    case let error as UnknownProductEngine:
      self.init(
        .usage, "\(ProductEngines.variable) names an unknown engine, \(error.name)",
        hint: "set it to \(ProductEngines.all.map(\.name).joined(separator: " or ")), or leave it unset")
    case let error as ScoringError: self.init(scoring: error)
    case let error as ReferenceError: self.init(reference: error)
    case let error as ImatrixError: self.init(.data, error.description, hint: error.hint)
    case let error as CalibrationError: self.init(calibration: error)
    case let error as QuantizeError: self.init(quantize: error)
    case let error as RecipeError: self.init(recipe: error)
    case let error as SensitivityError: self.init(sensitivity: error)
    case let error as PlanError: self.init(plan: error)
    case let error as HubError: self.init(hub: error)
    default: return nil
    }
  }

  private init(hub error: HubError) {
    switch error {
    case .badReference: self.init(.usage, error.description, hint: "such as hf:Qwen/Qwen2.5-7B@main")
    case .badEndpoint: self.init(.usage, error.description, hint: "unset it, or set it to https://huggingface.co")
    case .noRepository(_, let hasToken):
      self.init(
        .missing, error.description,
        hint: hasToken ? "check the name" : "check the name; of a private one, set HF_TOKEN, or run: hf auth login")
    case .gated(_, let hasToken):
      self.init(
        .missing, error.description,
        hint: hasToken ? "ask for access on the model's page" : "ask for access on the model's page, and set HF_TOKEN")
    case .badToken: self.init(.missing, error.description, hint: "set HF_TOKEN to a valid one, or run: hf auth login")
    case .noRevision: self.init(.missing, error.description, hint: "name a branch, a tag or a commit of the repository")
    case .noFile: self.init(.missing, error.description, hint: "name a file of the repository, or the repository alone")
    case .offline:
      self.init(.missing, error.description, hint: "unset HF_HUB_OFFLINE, or download the model first: hf download")
    case .noRanges:
      self.init(.io, error.description, hint: "set HF_ENDPOINT to another server, or download the model first")
    case .changed, .badAnswer, .damaged:
      self.init(.data, error.description, hint: "start again, or read another revision")
    case .unreachable: self.init(.io, error.description, hint: "check the network, the proxy and HF_ENDPOINT")
    case .noCurl:
      self.init(
        .machine, error.description, hint: "install it (libcurl4 on Debian), or download the model: hf download")
    case .stopped: self.init(.interrupted, "interrupted; no file was written under the final name")
    }
  }

  private init(parts error: PartsError) {
    let code: Code =
      switch error {
      case .missing, .noData: .missing
      case .tooMany: .usage
      case .different, .other, .damaged, .severalCounts, .begun, .leftover: .data
      }
    self.init(code, error.description, hint: error.hint)
  }

  private init(states error: KeptStatesError) {
    let code: Code =
      switch error {
      case .missing, .noLayer: .missing
      case .other, .damaged, .carried: .data
      }
    self.init(code, error.description, hint: error.hint)
  }

  private init(plan error: PlanError) {
    let code: Code =
      switch error.kind {
      case .usage: .usage
      case .data: .data
      case .missing: .missing
      case .unfit: .unmet
      }
    self.init(code, error.description, hint: error.advice)
  }

  private init?(paused: Paused) {
    self.init(paused.reason)
    if code == .interrupted { hint = "continue with: \(Interruption.resumeCommand)" }
  }

  private init(calibration error: CalibrationError) {
    let code: Code =
      switch error {
      case .missing, .emptyDirectory: .missing
      case .unknownSource, .nothingLeft: .usage
      case .damaged, .badLine, .tooShort: .data
      }
    self.init(code, error.description, hint: error.hint)
  }

  private init(forward error: ForwardError) {
    let code: Code = if case .budgetTooSmall = error { .usage } else { .data }
    self.init(code, error.description, hint: error.hint)
    switch error {
    case .unsupportedValue, .unsupportedTensor:
      hint = "the file can still be split, merged, and quantized with --no-importance"
    case .beyondSlidingWindow(let key, let positions, _):
      hint = "pass --ctx \(positions) or less"
      if key.hasSuffix("sliding_window") {
        hint! += "; of a Hugging Face directory, --ignore-config sliding_window lifts the limit"
      }
    default: break
    }
  }

  private init(refused error: RefusedConfig) {
    let options = error.keys.map { "--ignore-config \($0.name)" }.joined(separator: " ")
    self.init(
      .data, error.description, hint: "to ignore \(error.keys.count == 1 ? "it" : "them"): \(options)")
    if error.keys.contains(where: \.shapesTensors) {
      hint = "llama.cpp can't load such a model; to continue nevertheless: \(options)"
    }
  }

  private init(unneeded error: UnneededIgnoring) {
    self.init(
      .usage, "--ignore-config \(error.key): \(error.path) has no refused key of that name",
      hint: error.refused.isEmpty
        ? "leave the option out" : "refused keys: \(error.refused.joined(separator: ", "))")
    self = suggesting(error.key, among: error.refused)
  }

  private init(quantize error: QuantizeError) {
    let code: Code =
      switch error {
      case .targetTooSmall, .constraintsTooLarge, .targetTooLarge, .needsImportance, .notEncodable, .needsRequantize,
        .unsupported, .noSuchLayer, .noLayerLeft:
        .usage
      case .nonFiniteWeight, .beyondHalf, .importanceOfOtherSize: .data
      case .writtenWrong: .io
      }
    self.init(code, error.description, hint: error.hint)
  }

  private init(sensitivity error: SensitivityError) {
    self.init(.data, error.description, hint: error.hint)
    switch error {
    case .otherNames, .otherClasses, .unusableValues: hint = "--lenient uses what fits, and says what does not"
    default: break
    }
  }

  private init(recipe error: RecipeError) {
    let code: Code = if case .malformed = error { .data } else { .usage }
    self.init(code, error.description, hint: error.hint)
    let rule = if case .within(_, let inner) = error { inner } else { error }
    if case .unknownType(_, let type) = rule { self = suggesting(type, among: GGMLType.allCases.map(\.name)) }
  }

  private init(scoring error: ScoringError) {
    let code: Code = if case .badWindow = error { .usage } else { .data }
    self.init(code, error.description, hint: error.hint)
  }

  private init(reference error: ReferenceError) {
    let code: Code = if case .notExpressible = error { .usage } else { .data }
    self.init(code, error.description, hint: error.hint)
  }

  private init(file error: FileError) {
    let location = error.offset.map { "\(error.path): at byte \($0)" } ?? error.path
    switch (error.operation, error.code) {
    case (.open, ENOENT):
      self.init(.missing, "\(error.path): no such file or directory", hint: "check the path")
    case (.open, EISDIR):
      self.init(.missing, "\(error.path): is a folder, not a file", hint: "name a file in it, such as its GGUF")
    case (.open, _):
      self.init(.missing, "\(error.path): cannot be opened: \(error.reason)")
    case (.create, EBUSY):
      self.init(
        .unwritable, "\(error.path): another process is writing it", hint: "wait for it, or name another output")
    case (.create, EEXIST):
      self.init(.unwritable, "\(error.path): already exists", hint: "name another output, or replace it with --force")
    case (.create, _), (.rename, _):
      self.init(.unwritable, "\(location): cannot be written: \(error.reason)")
    case (.fetch, _) where Interruption.isRequested:
      self.init(.interrupted, "interrupted; no file was written under the final name")
      hint = "continue with: \(Interruption.resumeCommand)"
    case (.fetch, 0), (.fetch, EBADMSG):
      self.init(.data, "\(location): \(error.reason)", hint: "start again, or read another revision")
    case (.fetch, EACCES):
      // The hub describes gated models to everybody, and refuses their files.
      self.init(
        .missing, "\(location): \(error.reason)",
        hint: "ask for access on the model's page, and set HF_TOKEN to a token of the account that has it")
    case (.fetch, ENOENT):
      self.init(.missing, "\(location): \(error.reason)", hint: "check the names of the revision and of the file")
    case (.fetch, ENOTSUP):
      self.init(
        .io, "\(location): \(error.reason)",
        hint: "set HF_ENDPOINT to another server, or download the model first")
    case (.fetch, _):
      self.init(.io, "\(location): \(error.reason)", hint: "start again when the network is back; the run goes on")
    case (.read, 0):
      self.init(.data, "\(location): the file ends too early", hint: "the file is truncated: download it again")
    case (.read, _): self.init(.io, "\(location): cannot be read: \(error.reason)")
    case (.removed, _):
      self.init(
        .missing, "\(error.path): was removed by an earlier run, and is needed again",
        hint: "the unfinished output is damaged or of other options: download the model again")
    case (.lock, EBUSY):
      self.init(
        .machine, "\(error.path): another run reads the model, or removes its shards", hint: "wait for it to end")
    case (.lock, _):
      self.init(
        .machine, "\(error.path): cannot be locked, so that another run might read it: \(error.reason)",
        hint: "--delete-shards needs a disk with locks")
    case (.reserve, _):
      self.init(
        .unwritable, "\(error.path): the disk lacks \(Figures.bytes(error.lacking ?? 0)) for it",
        hint: "free that much, or name an output on another disk")
    case (.write, ENOSPC): self.init(.io, "\(location): the disk is full", hint: "free some space and start again")
    case (.write, _), (.sync, _): self.init(.io, "\(location): cannot be written: \(error.reason)")
    }
  }
}
