// Short names for the shapes that the door speaks; schema.d.ts is generated from its OpenAPI document.
import type { components } from "./schema";

type Schemas = components["schemas"];

export type Me = Schemas["Me"];
export type Person = Schemas["Person"];
export type Role = Person["role"];
export type Region = Schemas["Region"];
export type Site = Schemas["Site"];
export type SiteStatus = Site["status"];
export type Camera = Schemas["Camera"];
export type Stream = Schemas["Stream"];
export type StreamKind = Stream["kind"];
export type Coverage = Schemas["Coverage"];
export type Range = Schemas["Range"];
export type CoverageState = Range["state"];
export type StoryEntry = Schemas["StoryEntry"];
export type Event = Schemas["Event"];
export type Clip = Schemas["Clip"];
export type ClipState = Clip["state"];
export type Hold = Schemas["Hold"];
export type HoldState = Hold["state"];
export type Retention = Schemas["Retention"];
export type Rule = Schemas["Rule"];
export type RuleRequest = Schemas["RuleRequest"];
export type RulePreview = Schemas["RulePreview"];
export type ClipSettings = Schemas["ClipSettings"];
export type Priority = Clip["priority"];
export type Alerts = Schemas["Alerts"];
export type Incident = Schemas["Incident"];
export type Invited = Schemas["Invited"];
export type Code = Schemas["Code"];
export type Wall = Schemas["Wall"];
export type WallTile = Schemas["WallTile"];
export type WallPlace = Schemas["WallPlace"];
export type WallLayout = Wall["layout"];
