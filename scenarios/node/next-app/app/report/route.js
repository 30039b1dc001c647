import { count } from '../count.js';

export const dynamic = 'force-dynamic';

export function GET() {
  return Response.json({ framework: 'next', served: count(1) });
}
