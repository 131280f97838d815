/** The library: a node, and what its methods take and tell. */
export { ERROR_CODES, exitCodeOf, isShoalError, ShoalError, type ErrorCode } from './errors.ts';
export type { Compared, Difference } from './compare.ts';
export type { DownloadEvent } from './download.ts';
export type { SourceSummary } from './source.ts';
export type { CarSummary, Imported } from './export.ts';
export type { Fetched, FetchEvent, FetchRequest } from './fetch.ts';
export type { Hint } from './format/hint.ts';
export { formatLink, parseLink, type Link } from './format/link.ts';
export type { Manifest, ManifestEntry } from './format/manifest.ts';
export type { NetworkSettings } from './networks.ts';
export { ShoalNode, type FolderFetch, type NodeOptions } from './node.ts';
export type { Plan } from './plan.ts';
export type { Step } from './search.ts';
export type { Served } from './serve.ts';
export type { Contents } from './show.ts';
export type { Shared, ShareEvent, ShareRequest } from './share.ts';
