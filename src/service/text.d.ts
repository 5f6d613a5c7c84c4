// esbuild puts such files into the bundle as text (build/bundle.mjs).
declare module '*.service' {
  const text: string;
  export default text;
}
declare module '*.socket' {
  const text: string;
  export default text;
}
