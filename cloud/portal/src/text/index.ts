// Every sentence of the portal. Pages hold no words of their own: another language is another object of this
// shape, checked by the compiler.
import { admin } from "./admin";
import { common } from "./common";
import { health } from "./health";
import { pages } from "./pages";
import { video } from "./video";
import { walls } from "./walls";

export const text = { ...common, ...health, ...video, ...pages, ...admin, ...walls };

export type Text = typeof text;
